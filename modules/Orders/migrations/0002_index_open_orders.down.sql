-- ringlock: safe-down
drop index orders_open;
