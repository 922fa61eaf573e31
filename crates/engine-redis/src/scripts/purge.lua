-- Removes every event and begins another epoch, and tells the readers.
-- KEYS: head, log, due, floor. ARGV: epoch, flat topic, channel, command to announce with ('' for none), lifetime of a
-- topic that keeps nothing ('' if it keeps).
local head = call('HMGET', KEYS[1], 'e', 's')
-- A second attempt does not take what has come since the first.
if head[1] == ARGV[1] then return 1 end
if ARGV[5] == '' then raise_floor(KEYS[4], tonumber(head[2] or 0)) end
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
