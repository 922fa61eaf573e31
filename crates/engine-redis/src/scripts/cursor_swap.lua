-- Puts a record in place of the expected one. KEYS: records, their names in order, latest version.
-- ARGV: name, expected version ('' for none), record ('' for none), most records.
-- Answers: version, or -1 if another record was there, or -2 if there are too many.
local call, fmt = redis.call, string.format
local there = call('HGET', KEYS[1], ARGV[1])
local version = there and string.match(there, '^%d+') or ''
if version ~= ARGV[2] then return -1 end
if ARGV[3] ~= '' and not there and call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return -2 end
-- From the clock, so that a server that has forgotten its last ones gives none of them again.
local time = call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local next = math.max(tonumber(call('GET', KEYS[3]) or 0) + 1, micros)
call('SET', KEYS[3], fmt('%.0f', next))
if ARGV[3] == '' then
  call('HDEL', KEYS[1], ARGV[1])
  call('ZREM', KEYS[2], ARGV[1])
else
  call('HSET', KEYS[1], ARGV[1], fmt('%.0f', next) .. ' ' .. ARGV[3])
  call('ZADD', KEYS[2], 0, ARGV[1])
end
return next
