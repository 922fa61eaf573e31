-- Puts events of another engine's log at the end of a topic, as they were there.
-- KEYS: head, log, due, topics; then the id of each event, if ids are remembered. ARGV: life of the server, flat topic,
-- topic, epoch, offset of the end as it was found, events_max, bytes_max, age_max ('' each for none), the end if nothing
-- is kept: offset, tag, time; number of events; then of each: offset, prev, time, tag, size, for how long its id is
-- remembered in ms ('' for not at all), draft. Answers 1, or 0 if the end was another one.
local flat, epoch, events_max, bytes_max = ARGV[2], ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
local head = call('HMGET', KEYS[1], 'e', 's', 't', 'c', 'a', 'g')
local last, bytes = tonumber(head[2] or 0), tonumber(head[4] or 0)
if last ~= tonumber(ARGV[5]) or last > 0 and head[1] ~= epoch then return 0 end
local time, tag = head[3], head[6]
if last == 0 then
  call('DEL', KEYS[2])
  bytes = 0
end
for i = 1, tonumber(ARGV[12]) do
  local at = 13 + (i - 1) * 7
  local offset = tonumber(ARGV[at])
  put(KEYS[2], events_max, offset, tonumber(ARGV[at + 1]), ARGV[at + 2], bytes, ARGV[at + 4], ARGV[at + 6])
  bytes, last, time, tag = bytes + tonumber(ARGV[at + 4]), offset, ARGV[at + 2], ARGV[at + 3]
  if ARGV[at + 5] ~= '' then
    call('SET', KEYS[4 + i], epoch .. ' ' .. ARGV[at] .. ' ' .. ARGV[at + 2], 'PX', ARGV[at + 5])
  end
end
if call('EXISTS', KEYS[2]) == 0 or call('XLEN', KEYS[2]) == 0 then
  last, tag, time = tonumber(ARGV[9]), ARGV[10], ARGV[11]
end
call('HSET', KEYS[1], 'e', epoch, 's', str(last), 'c', str(bytes), 'l', ARGV[1])
if time and time ~= '' then call('HSET', KEYS[1], 't', time) end
if tag then call('HSET', KEYS[1], 'g', tag) end
if ARGV[3] ~= '' then call('ZADD', KEYS[4], 0, ARGV[3]) end
if bytes_max then trim_bytes(KEYS[2], bytes, bytes_max) end
set_age(KEYS[1], KEYS[3], flat, head[5], ARGV[8])
return 1
