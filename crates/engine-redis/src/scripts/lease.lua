-- Leases of one partition, by the server's clock.
-- KEYS: names by when they end, holders, latest fence. ARGV: operation, then
-- acquire: name, holder, ttl in ms -> fence, or nothing | renew: name, fence, ttl -> 1 or 0
-- release: name, fence -> 1 or 0 | list: prefix -> name, fence and holder, …
local call, fmt = redis.call, string.format
local time = call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(micros / 1000)
-- What has ended leaves nothing behind.
for _, name in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', fmt('%.0f', now), 'LIMIT', 0, 100)) do
  call('ZREM', KEYS[1], name)
  call('HDEL', KEYS[2], name)
end
local function held(name)
  local ends = tonumber(call('ZSCORE', KEYS[1], name) or nil)
  return ends and ends > now and call('HGET', KEYS[2], name)
end
local function is_of(holding, fence)
  return holding and string.match(holding, '^%d+') == fence
end
local operation, name = ARGV[1], ARGV[2]
if operation == 'acquire' then
  if held(name) then return false end
  -- From the clock, so that a server that has forgotten its last ones gives none of them again.
  local fence = fmt('%.0f', math.max(tonumber(call('GET', KEYS[3]) or 0) + 1, micros))
  call('SET', KEYS[3], fence)
  call('ZADD', KEYS[1], fmt('%.0f', now + tonumber(ARGV[4])), name)
  call('HSET', KEYS[2], name, fence .. ' ' .. ARGV[3])
  return fence
elseif operation == 'renew' then
  if not is_of(held(name), ARGV[3]) then return 0 end
  call('ZADD', KEYS[1], fmt('%.0f', now + tonumber(ARGV[4])), name)
  return 1
elseif operation == 'release' then
  if not is_of(held(name), ARGV[3]) then return 0 end
  call('ZREM', KEYS[1], name)
  call('HDEL', KEYS[2], name)
  return 1
end
local found = {}
for _, other in ipairs(call('ZRANGEBYSCORE', KEYS[1], fmt('(%.0f', now), '+inf')) do
  if string.sub(other, 1, #name) == name then
    found[#found + 1], found[#found + 2] = other, call('HGET', KEYS[2], other)
  end
end
return found
