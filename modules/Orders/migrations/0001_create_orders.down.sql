-- Takes every order with it: run by a person (rollback --with-down), never by itself.
drop table order_lines;
drop table orders;
