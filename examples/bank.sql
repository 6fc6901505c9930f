-- SPDX-License-Identifier: Apache-2.0
-- 100 accounts with 1000 each, and a book that takes a number twice: it is counted, not forbidden.
create table account(id integer primary key, balance integer not null);
create table book(number integer, payer integer, payee integer, amount integer);
with recursive n(id) as (select 1 union all select id + 1 from n where id < 100)
insert into account select id, 1000 from n;
