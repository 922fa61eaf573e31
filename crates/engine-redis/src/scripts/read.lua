-- A stretch of one topic, and its head.
-- KEYS: born, head, log. ARGV: random number, flat topic, from ('o' offset, 't' time, 'e' end), its value,
-- direction ('f', 'b'), most events, most bytes, oldest time that is shown ('' for any).
-- Answers: head (as heads.lua), 1 if there is more, then of each event: offset, prev, time, draft.
local limit, bytes_max, forward = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[5] == 'f'

local head = call('HMGET', KEYS[2], 'e', 's', 'g', 'c', 't')
local epoch, last = head[1], tonumber(head[2] or 0)
epoch = epoch or epoch_of(KEYS[1], ARGV[1], ARGV[2])
local oldest = last > 0 and call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
local shown, events, bytes = last + 1, 0, 0
local answer = { 0, 0 }

if oldest then
  local first = offset_of(oldest)
  events, bytes = call('XLEN', KEYS[3]), tonumber(head[4] or 0) - tonumber(oldest[2][4])
  -- The offset of the first event at or after a time; times never decrease.
  local function since(time)
    if tonumber(oldest[2][2]) >= time then return first end
    if tonumber(head[5]) < time then return last + 1 end
    local low, high = first + 1, last
    while low < high do
      local middle = math.floor((low + high) / 2)
      local entry = call('XRANGE', KEYS[3], str(middle), '+', 'COUNT', 1)[1]
      if not entry or tonumber(entry[2][2]) >= time then high = middle else low = offset_of(entry) + 1 end
    end
    local entry = call('XRANGE', KEYS[3], str(low), '+', 'COUNT', 1)[1]
    return entry and offset_of(entry) or last + 1
  end
  shown = ARGV[8] == '' and first or since(tonumber(ARGV[8]))
  -- What is ahead in the direction of reading: begin..stop.
  local begin, stop = shown, last
  if ARGV[3] == 'o' then
    local offset = tonumber(ARGV[4])
    if forward then begin = math.max(begin, offset) else stop = math.min(stop, offset) end
  elseif ARGV[3] == 't' then
    local offset = since(tonumber(ARGV[4]))
    if forward then begin = math.max(begin, offset) else stop = math.min(stop, offset - 1) end
  end
  local taken, sum = 0, 0
  while begin <= stop and taken < limit and (taken == 0 or sum < bytes_max) do
    local want = str(math.min(limit - taken, 64))
    local low, high = str(begin), str(stop)
    local chunk = forward and call('XRANGE', KEYS[3], low, high, 'COUNT', want)
      or call('XREVRANGE', KEYS[3], high, low, 'COUNT', want)
    if #chunk == 0 then break end
    for _, entry in ipairs(chunk) do
      if taken > 0 and sum >= bytes_max then break end
      local offset, fields = offset_of(entry), entry[2]
      local n = #answer
      answer[n + 1], answer[n + 2] = offset, tonumber(fields[10] or (offset - 1))
      answer[n + 3], answer[n + 4] = tonumber(fields[2]), fields[8]
      taken, sum = taken + 1, sum + tonumber(fields[6])
      if forward then begin = offset + 1 else stop = offset - 1 end
    end
  end
  if begin <= stop and (taken >= limit or taken > 0 and sum >= bytes_max) then
    local rest = call('XRANGE', KEYS[3], str(begin), str(stop), 'COUNT', 1)[1]
    answer[2] = rest and 1 or 0
  end
end
answer[1] = { epoch, last, tonumber(head[3] or 0), shown, events, bytes, head[5] }
return answer
