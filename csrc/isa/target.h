/* Opens and closes a region compiled for more than the baseline, without compiler flags. */
#ifdef __clang__
#define TARGET_PRAGMA(text) _Pragma(#text)
#define TARGET_BEGIN(features) TARGET_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define TARGET_END _Pragma("clang attribute pop")
#else
#define TARGET_PRAGMA(text) _Pragma(#text)
#define TARGET_BEGIN(features) _Pragma("GCC push_options") TARGET_PRAGMA(GCC target(features))
#define TARGET_END _Pragma("GCC pop_options")
#endif
