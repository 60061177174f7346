skerry_program(skerry-unpack unpack/unpack_main.cc unpack)
if(TARGET unpack_test)
  add_dependencies(unpack_test skerry-unpack)  # its tests execute the program
endif()
skerry_program(skerry-edge daemon/edge_main.cc daemon_edge)
skerry_program(skerryd daemon/skerryd_main.cc daemon_supervisor)
include(cli/templates.cmake)
skerry_program(skerry cli/skerry_main.cc cli)
skerry_program(skerry-sandboxd sandboxd/sandboxd_main.cc sandboxd)
