/* Compiles the microkernels of one ISA for float and for double. Names are pasted as pyconv_<isa>_f<bits>_<name>. */
#define PASTE4(a, b, c, d) a##b##_f##c##d
#define PASTE(a, b, c, d) PASTE4(a, b, c, d)
#define NAME(name) PASTE(pyconv_, ISA, REAL_BITS, _##name)
#define TABLE_NAME PASTE(pyconv_, ISA, REAL_BITS, )

#define REAL_BITS 32
#include "../kernels/all.h"
#undef REAL_BITS

#define REAL_BITS 64
#include "../kernels/all.h"
#undef REAL_BITS
