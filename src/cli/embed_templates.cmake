# cmake -DROOT=<templates> -DOUT=<file.cc> -P embed_templates.cmake: writes every file below ROOT as bytes of a C++ table.
file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/*)
list(SORT files)
set(arrays "")
set(rows "")
set(index 0)
foreach(file ${files})
  file(READ ${ROOT}/${file} hex HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1', " bytes "${hex}")
  string(LENGTH "${hex}" hex_length)
  math(EXPR size "${hex_length} / 2")
  string(FIND ${file} "/" slash)
  string(SUBSTRING ${file} 0 ${slash} language)
  math(EXPR after "${slash} + 1")
  string(SUBSTRING ${file} ${after} -1 path)
  string(APPEND arrays "constexpr char kFile${index}[] = {${bytes}'\\0'};\n")
  string(APPEND rows "    {\"${language}\", \"${path}\", {kFile${index}, ${size}}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUT} "#include \"cli/templates.h\"

namespace skerry::cli {
namespace {
${arrays}
constexpr TemplateFile kFiles[] = {
${rows}};
}  // namespace

std::span<const TemplateFile> template_files() { return kFiles; }

}  // namespace skerry::cli
")
