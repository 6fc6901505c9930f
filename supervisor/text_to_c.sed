# SPDX-License-Identifier: Apache-2.0
# The script as a C file, a string for each line.
s/[\\"]/\\&/g
s/.*/"&\\n"/
1i const char redis_run_script[] =
$a ;
