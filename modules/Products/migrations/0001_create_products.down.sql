-- Takes the catalogue with it: run by a person (rollback --with-down), never by itself.
drop table products;
