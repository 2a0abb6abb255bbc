-- Gives back what a reservation held, once.
--
-- KEYS[1]  the hold's record   ARGV[1]  the tenant's tag   ARGV[2]  customer   ARGV[3]  id|millionths|field
-- ARGV[4]  the record as it is from now on   ARGV[5]  seconds that record lasts
release(ARGV[1], ARGV[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[4], 'EX', ARGV[5])
return 1
