-- Removes every event and begins another epoch, and tells the readers.
-- KEYS: head, log, due. ARGV: epoch, flat topic, channel, command to announce with ('' for none), lifetime of a topic
-- that keeps nothing ('' if it keeps).
local call = redis.call
call('DEL', KEYS[1], KEYS[2])
call('ZREM', KEYS[3], ARGV[2])
call('HSET', KEYS[1], 'e', ARGV[1])
if ARGV[5] ~= '' then
  call('PEXPIRE', KEYS[1], ARGV[5])
end
if ARGV[4] ~= '' then
  call(ARGV[4], ARGV[3], 'r ' .. ARGV[1] .. ' 0 0 0 0 ' .. #ARGV[2] .. '\n' .. ARGV[2])
end
return 1
