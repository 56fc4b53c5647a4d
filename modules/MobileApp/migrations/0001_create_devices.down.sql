-- ringlock: safe-down
-- Devices register again at their next start.
drop table mobile_devices;
