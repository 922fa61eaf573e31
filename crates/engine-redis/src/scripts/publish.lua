-- Gives the events of one topic their places, stores them and announces them.
-- KEYS: head, log, born, due, topics, floor; then the id of each event, if ids are remembered.
-- ARGV: now, life of the server, random number, flat topic, topic, channel, command to announce with ('' for none),
--       most bytes to announce, events_max, bytes_max, age_max, window ('' each for none), lifetime of a topic that
--       keeps nothing ('' if it keeps), number of events; then of each: tag, size, draft.
-- Answers: epoch, then of each event: offset, time, whether it was there already.
local now, life, flat, channel, announce = tonumber(ARGV[1]), ARGV[2], ARGV[4], ARGV[6], ARGV[7]
local announced_max = tonumber(ARGV[8])
local events_max, bytes_max, age, window = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11], tonumber(ARGV[12])
local passing, count = ARGV[13] ~= '', tonumber(ARGV[14])

local head = call('HMGET', KEYS[1], 'e', 's', 't', 'c', 'l', 'a')
local epoch, last, time, bytes = head[1], tonumber(head[2] or 0), tonumber(head[3] or -1), tonumber(head[4] or 0)
if not epoch then
  if passing then
    epoch = ARGV[3]
  else
    epoch = epoch_of(KEYS[3], ARGV[3], flat)
  end
end
-- Another life of the server may have forgotten the last events: their offsets are never given out again.
local jump = last > 0 and head[5] ~= life
local floor = not passing and last == 0 and floor_of(KEYS[6], life) or 0
local answer, tag, stored = { epoch }, false, false

for i = 1, count do
  local at = 15 + (i - 1) * 3
  local draft = ARGV[at + 2]
  local there = window and call('GET', KEYS[6 + i])
  if there then
    local e, o, t = string.match(there, '^(%d+) (%d+) (-?%d+)$')
    if e == epoch and now - tonumber(t) < window then
      answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = tonumber(o), tonumber(t), 1
    else
      there = false
    end
  end
  if not there then
    local offset = math.max(last, floor) + (jump and LEAP or 1)
    jump, floor = false, 0
    if time < now then time = now end
    tag, stored = ARGV[at], true
    local text_offset, text_time = str(offset), str(time)
    if not passing then
      if last == 0 then
        -- What is left of a log whose head was lost would refuse the first offsets.
        call('DEL', KEYS[2])
        if ARGV[5] ~= '' then call('ZADD', KEYS[5], 0, ARGV[5]) end
      end
      local size = ARGV[at + 1]
      put(KEYS[2], events_max, offset, last, text_time, bytes, size, draft)
      bytes = bytes + tonumber(size)
    end
    if window then
      call('SET', KEYS[6 + i], epoch .. ' ' .. text_offset .. ' ' .. text_time, 'PX',
        str(math.max(1, math.ceil(window / 1000))))
    end
    if announce ~= '' then
      local place = text_offset .. ' ' .. str(last) .. ' ' .. text_time .. ' ' .. tag .. ' ' .. #flat .. '\n' .. flat
      if passing or #draft <= announced_max then
        call(announce, channel, 'e ' .. epoch .. ' ' .. place .. draft)
      else
        call(announce, channel, 'h ' .. epoch .. ' ' .. place)
      end
    end
    last = offset
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = offset, time, 0
  end
end

if stored then
  call('HSET', KEYS[1], 'e', epoch, 's', str(last), 't', str(time), 'g', tag, 'l', life,
    'c', str(bytes))
  if not passing then
    if bytes_max then trim_bytes(KEYS[2], bytes, bytes_max) end
    set_age(KEYS[1], KEYS[4], flat, head[6], age)
  end
end
if passing then
  call('PEXPIRE', KEYS[1], ARGV[13])
elseif not stored then
  -- A WAIT behind this call waits for the last write of its connection: of what was there already there has to be one.
  call('HSET', KEYS[1], 'l', head[5])
end
return answer
