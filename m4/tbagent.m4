dnl SPDX-License-Identifier: Apache-2.0
dnl One macro an option: defines, documents and substitutes it.

dnl TBAGENT_ARG_DIR(name, what, default): --with-NAME=DIR
AC_DEFUN([TBAGENT_ARG_DIR], [
        AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [$2])], [$1=$withval], [$1=$3])
        AC_SUBST([$1])
])

AC_DEFUN([TBAGENT_WERROR], [
        AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [compiler warnings are errors])], [], [enable_werror=no])
        AS_IF([test "$enable_werror" = yes], [WERROR_CFLAGS=-Werror])
        AC_SUBST([WERROR_CFLAGS])
])

dnl --with-sanitizer=address,undefined | thread
AC_DEFUN([TBAGENT_SANITIZER], [
        AC_ARG_WITH([sanitizer], [AS_HELP_STRING([--with-sanitizer=LIST], [address,undefined or thread])], [], [with_sanitizer=no])
        AS_IF([test "$with_sanitizer" != no], [
                sanitizer=$with_sanitizer
                SANITIZER_CFLAGS="-fsanitize=$sanitizer -fno-omit-frame-pointer -fno-sanitize-recover=undefined"
                AS_CASE([",$sanitizer,"], [*,thread,*], [SANITIZER_CFLAGS="-fsanitize=$sanitizer -fno-omit-frame-pointer"])
                AC_DEFINE([TBAGENT_SANITIZED], [1], [built with a sanitizer: plugin hosts set no memory limit])
        ])
        AM_CONDITIONAL([SANITIZED], [test -n "$sanitizer"])
        AC_SUBST([SANITIZER_CFLAGS])
])

dnl --with-fuzzer: the harnesses of tests/fuzz become libFuzzer programs (clang); else they replay their corpus.
AC_DEFUN([TBAGENT_FUZZER], [
        AC_ARG_WITH([fuzzer], [AS_HELP_STRING([--with-fuzzer], [build tests/fuzz with libFuzzer (clang)])], [], [with_fuzzer=no])
        AM_CONDITIONAL([WITH_FUZZER], [test "$with_fuzzer" = yes])
])

dnl TBAGENT_FLAG(flag, variable): adds flag where the compiler takes it without a warning.
AC_DEFUN([TBAGENT_FLAG], [
        tbagent_save=$CFLAGS
        CFLAGS="$CFLAGS -Werror $1"
        AC_MSG_CHECKING([whether $CC takes $1])
        AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]], [[char b[10]; memset(b, 0, sizeof b); return b[0];]])],
                [AC_MSG_RESULT([yes]); $2="$$2 $1"], [AC_MSG_RESULT([no])])
        CFLAGS=$tbagent_save
])

AC_DEFUN([TBAGENT_HARDENING], [
        AC_ARG_ENABLE([hardening], [AS_HELP_STRING([--disable-hardening], [no hardening flags of our own])], [], [enable_hardening=yes])
        AS_IF([test "$enable_hardening" = yes], [
                TBAGENT_FLAG([-fstack-protector-strong], [HARDENING_CFLAGS])
                TBAGENT_FLAG([-fstack-clash-protection], [HARDENING_CFLAGS])
                TBAGENT_FLAG([-fcf-protection], [HARDENING_CFLAGS])
                AS_IF([test -z "$sanitizer"], [
                        AS_CASE([" $CFLAGS $CPPFLAGS "], [*FORTIFY_SOURCE*], [],
                                [*-O0*], [],
                                [TBAGENT_FLAG([-D_FORTIFY_SOURCE=2], [HARDENING_CFLAGS])])
                ])
                TBAGENT_FLAG([-Wl,-z,relro], [HARDENING_LDFLAGS])
                TBAGENT_FLAG([-Wl,-z,now], [HARDENING_LDFLAGS])
                TBAGENT_FLAG([-Wl,--as-needed], [HARDENING_LDFLAGS])
        ])
        AC_SUBST([HARDENING_CFLAGS])
        AC_SUBST([HARDENING_LDFLAGS])
])

AC_DEFUN([TBAGENT_WARNINGS], [
        WARNING_CFLAGS="-Wall -Wextra"
        TBAGENT_FLAG([-Wstrict-prototypes], [WARNING_CFLAGS])
        TBAGENT_FLAG([-Wmissing-prototypes], [WARNING_CFLAGS])
        TBAGENT_FLAG([-Wundef], [WARNING_CFLAGS])
        TBAGENT_FLAG([-Wvla], [WARNING_CFLAGS])
        TBAGENT_FLAG([-Wimplicit-fallthrough], [WARNING_CFLAGS])
        AC_SUBST([WARNING_CFLAGS])
])
