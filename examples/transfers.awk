# SPDX-License-Identifier: Apache-2.0
# Prints 1200 transfers between 100 accounts as SQL; every 300th says so.
BEGIN {
  for (number = 1; number <= 1200; number++) {
    from = number * 7 % 100 + 1
    to = number * 13 % 100 + 1
    amount = number % 9 + 1
    print "begin;"
    printf "update account set balance = balance - %d where id = %d;\n", amount, from
    printf "update account set balance = balance + %d where id = %d;\n", amount, to
    printf "insert into book(number, payer, payee, amount) values(%d, %d, %d, %d);\n", number, from, to, amount
    print "commit;"
    if (number % 300 == 0)
      printf "select 'transfer %d';\n", number
  }
}
