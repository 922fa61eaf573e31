-- The heads of topics of one partition.
-- KEYS: born, then head and log of each. ARGV: random number, lifetime of topics that keep nothing ('' if they keep),
-- then the flat topics. Answers of each: epoch, offset, tag, first, events, bytes, time (or nothing).
local passing = ARGV[2] ~= ''
local heads = {}
for i = 1, #ARGV - 2 do
  local head_key, log_key = KEYS[i * 2], KEYS[i * 2 + 1]
  local head = call('HMGET', head_key, 'e', 's', 'g', 'c', 't')
  local epoch, last = head[1], tonumber(head[2] or 0)
  if passing then
    if not epoch then
      -- Of its own for each topic: what is forgotten must not come back as the same.
      epoch = str((tonumber(ARGV[1]) + i) % 4294967295 + 1)
      call('HSET', head_key, 'e', epoch)
    end
    call('PEXPIRE', head_key, ARGV[2])
    heads[i] = { epoch, last, tonumber(head[3] or 0), last + 1, 0, 0, head[5] }
  else
    epoch = epoch or epoch_of(KEYS[1], ARGV[1], ARGV[i + 2])
    local first, events, bytes = last + 1, 0, 0
    if last > 0 then
      local oldest = call('XRANGE', log_key, '-', '+', 'COUNT', 1)[1]
      if oldest then
        first = offset_of(oldest)
        events = call('XLEN', log_key)
        bytes = tonumber(head[4] or 0) - tonumber(oldest[2][4])
      end
    end
    heads[i] = { epoch, last, tonumber(head[3] or 0), first, events, bytes, head[5] }
  end
end
return heads
