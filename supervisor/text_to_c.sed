# SPDX-License-Identifier: Apache-2.0
# A text as C's string literals, one a line.
s/[\\"]/\\&/g
s/.*/"&\\n"/
