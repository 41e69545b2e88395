// A module that was built for another program: whatever follows its build id must not be touched.
struct ForeignTable {
  const char* build_id = "0123456789abcdef";
  void* absence = nullptr;
  void* open = nullptr;
};

extern "C" const void* fovea_module() {
  static const ForeignTable table;
  return &table;
}
