# SPDX-License-Identifier: Apache-2.0
# sqlite3, killed at its kill points.
load sweeps

setup() {
  check_options=()
  set_up_inputs
  cat > "$inputs/transfers.sql" << 'END'
create table if not exists account(id integer primary key, balance integer);
create table if not exists book(number integer, payer integer, payee integer);
insert into account values(1, 100), (2, 100), (3, 100);
begin; update account set balance = balance - 7 where id = 1; update account set balance = balance + 7 where id = 2;
insert into book values(1, 1, 2); commit;
begin; update account set balance = balance - 9 where id = 2; insert into book values(2, 2, 3); rollback;
begin; update account set balance = balance - 5 where id = 3; update account set balance = balance + 5 where id = 1;
insert into book values(3, 3, 1); commit;
select * from account; select count(*) from book;
END
  {
    echo "create table word(number integer, text text); create index by_text on word(text); begin;"
    mawk '{ printf "insert into word values(%d, \x27%s\x27);\n", $1, $2 } NR % 500 == 0 { print "commit; begin;" }' \
      "$inputs/numbers"
    echo "commit; delete from word where number % 3 = 0; vacuum; select count(*), sum(number) from word;"
  } > "$inputs/words.sql"
}

@test "sqlite3 with a rollback journal: every transaction once" {
  assert_survives sqlite3 bank.db '.read transfers.sql'
}

@test "sqlite3 with many pages, an index, a delete and a vacuum" {
  assert_survives sqlite3 words.db '.read words.sql'
}

@test "sqlite3 with a write-ahead log in a shared mapping" {
  assert_survives sqlite3 bank.db 'pragma journal_mode = wal;' '.read transfers.sql'
}

@test "sqlite3 goes on with a database that was there" {
  sqlite3 "$inputs/bank.db" < "$inputs/transfers.sql" > /dev/null
  assert_survives sqlite3 bank.db 'update account set balance = balance + 1;' 'select sum(balance) from account;'
}
