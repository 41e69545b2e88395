// A loop that is compiled for several instruction sets, of which the first call of the program chooses one.
#pragma once

// Off where no such choice exists, and under a sanitizer, whose runtime is not ready yet when the choice is made.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define FOVEA_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define FOVEA_CLONES
#endif
