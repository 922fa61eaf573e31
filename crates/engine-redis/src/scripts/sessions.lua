-- The topics that a session may be in: every one that it is in, perhaps others that it has just left.
-- KEYS: topics of the session. ARGV: operation, topic, token, then
-- add: most topics -> 1 if it is new, 0 if it was there, nothing if there are too many
-- drop -> 1, or 0 if it has come again meanwhile
local call = redis.call
if ARGV[1] == 'add' then
  local there = call('HEXISTS', KEYS[1], ARGV[2]) == 1
  if not there and call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return false end
  call('HSET', KEYS[1], ARGV[2], ARGV[3])
  return there and 0 or 1
end
if call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
return call('HDEL', KEYS[1], ARGV[2])
