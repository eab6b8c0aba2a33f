// Number types by NumPy's names, so that a launch can pass a dtype's name as a macro.
#pragma once

typedef float float32;
typedef double float64;
typedef signed char int8;
typedef short int16;
typedef int int32;
typedef long long int64;
typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef unsigned long long uint64;
