# Puts src/cli/templates/ into the program: one generated source of skerry_cli, made again when a template changes.
if(TARGET skerry_cli)
  file(GLOB_RECURSE cli_templates CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cli/templates/*)
  set(cli_templates_cc ${CMAKE_CURRENT_BINARY_DIR}/cli_templates.cc)
  add_custom_command(
    OUTPUT ${cli_templates_cc}
    COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_CURRENT_SOURCE_DIR}/cli/templates -DOUT=${cli_templates_cc}
            -P ${CMAKE_CURRENT_SOURCE_DIR}/cli/embed_templates.cmake
    DEPENDS ${cli_templates} ${CMAKE_CURRENT_SOURCE_DIR}/cli/embed_templates.cmake
    COMMENT "Embedding the templates of skerry init")
  target_sources(skerry_cli PRIVATE ${cli_templates_cc})
endif()
