-- Who is in the topics of one partition. Every change is in the feed with the same step.
-- KEYS: feed. ARGV: tag of the partition, life of the server, operation, and what that needs (see below).
--
-- Of a topic:  pt state (rev, base, only, max, life), pm members (id -> record), pi their ids in order,
--              pn sessions of each member, ps seats (session -> member, user, holder, token), px sessions of each user
-- Of all:      pl life, pfloor highest forgotten revision, pseats number of seats, pholders holders by when their lease
--              ends, pk life in which each was first seen, ph:<holder> and pu:<tenant, user> their seats
local call, fmt, tag = redis.call, string.format, ARGV[1]
local time = call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(micros / 1000)
local function str(number) return fmt('%.0f', number) end
local function key(kind, name) return tag .. kind .. ':' .. (name or '') end
local function split(text)
  local parts = {}
  for part in string.gmatch(text .. '\0', '([^%z]*)%z') do parts[#parts + 1] = part end
  return parts
end

-- Another life of the server may have lost the end of what was here: revisions go on above all that were told.
local known = call('HMGET', key('pl'), 'server', 'life')
local life = known[2]
if known[1] ~= ARGV[2] then
  life = ARGV[2] .. '.' .. str(micros)
  call('HSET', key('pl'), 'server', ARGV[2], 'life', life)
  call('SET', key('pfloor'), str(math.max(tonumber(call('GET', key('pfloor')) or 0), micros)))
end

local function open(flat)
  local found = call('HMGET', key('pt', flat), 'rev', 'base', 'only', 'max', 'life')
  local topic = { flat = flat, position = '', changed = 0 }
  if found[1] then
    topic.rev, topic.base = tonumber(found[1]), tonumber(found[2])
    topic.only, topic.max = found[3] == '1', tonumber(found[4])
    if found[5] ~= life then
      topic.rev = math.max(topic.rev, micros)
      call('HSET', key('pt', flat), 'rev', str(topic.rev), 'life', life)
    end
  else
    topic.rev = tonumber(call('GET', key('pfloor')) or 0)
    topic.base, topic.only, topic.max, topic.new = topic.rev, false, 0, true
  end
  return topic
end

-- A record is user, info, data, since.
local function json(id, record)
  local parts = { '{"id":', cjson.encode(id) }
  if record[1] ~= '' then parts[#parts + 1] = ',"user":' .. cjson.encode(record[1]) end
  if record[2] ~= '' then parts[#parts + 1] = ',"info":' .. record[2] end
  if record[3] ~= '' then parts[#parts + 1] = ',"data":' .. record[3] end
  parts[#parts + 1] = ',"since":' .. record[4] .. '}'
  return table.concat(parts)
end

local function tell(topic, what, id, record)
  local prev = topic.rev == topic.base and '0' or str(topic.rev)
  topic.rev, topic.changed = topic.rev + 1, 1
  local count, telling = call('HLEN', key('pm', topic.flat)), ''
  if count > topic.max then
    telling = 'occupancy'
  elseif topic.only then
    telling = count <= topic.max - math.ceil(topic.max / 10) and 'members_again' or 'occupancy'
  end
  topic.only = telling == 'occupancy'
  local names = split(topic.flat)
  local change = '{"tenant":' .. cjson.encode(names[1]) .. ',"topic":' .. cjson.encode(names[2]) .. ',"life":"' .. life
    .. '","rev":' .. str(topic.rev) .. ',"prev":' .. prev .. ',"count":' .. count .. ',"at":' .. str(micros)
    .. (telling ~= '' and ',"telling":"' .. telling .. '"' or '') .. ',"' .. what .. '":' .. json(id, record) .. '}'
  topic.position = call('XADD', KEYS[1], '*', 'c', change)
end

local function save(topic)
  local flat = topic.flat
  if call('EXISTS', key('ps', flat)) == 1 then
    call('HSET', key('pt', flat), 'rev', str(topic.rev), 'base', str(topic.base), 'only', topic.only and '1' or '0',
      'max', str(topic.max), 'life', life)
  elseif not topic.new then
    call('DEL', key('pt', flat), key('pm', flat), key('pi', flat), key('pn', flat), key('px', flat))
    call('SET', key('pfloor'), str(math.max(tonumber(call('GET', key('pfloor')) or 0), topic.rev)))
  end
end

local function user_key(flat, user) return key('pu', split(flat)[1] .. '\0' .. user) end

-- Takes a seat away; answers its token.
local function unseat(topic, session, seat)
  local flat, parts = topic.flat, split(seat)
  local member, user, holder = parts[1], parts[2], parts[3]
  call('HDEL', key('ps', flat), session)
  call('DECR', key('pseats'))
  call('SREM', key('ph', holder), flat .. '\0' .. session)
  if user ~= '' then
    call('SREM', user_key(flat, user), flat .. '\0' .. session)
    if call('HINCRBY', key('px', flat), user, -1) <= 0 then call('HDEL', key('px', flat), user) end
  end
  if call('HINCRBY', key('pn', flat), member, -1) <= 0 then
    local record = call('HGET', key('pm', flat), member)
    call('HDEL', key('pn', flat), member)
    call('HDEL', key('pm', flat), member)
    call('ZREM', key('pi', flat), member)
    if record then tell(topic, 'leave', member, cmsgpack.unpack(record)) end
  end
  return parts[4]
end

-- Takes away seats that are named `tenant 0 topic 0 session`; answers of each: tenant, topic, session, token.
local function unseat_all(names)
  local removed, topics = {}, {}
  for _, name in ipairs(names) do
    local parts = split(name)
    local flat, session = parts[1] .. '\0' .. parts[2], parts[3]
    local seat = call('HGET', key('ps', flat), session)
    if seat then
      topics[flat] = topics[flat] or open(flat)
      local n = #removed
      removed[n + 1], removed[n + 2], removed[n + 3] = parts[1], parts[2], session
      removed[n + 4] = unseat(topics[flat], session, seat)
    end
  end
  for _, topic in pairs(topics) do save(topic) end
  return removed
end

local function done(topic) return { str(topic.rev), topic.changed, topic.position } end
local function keep_alive(holder, lease)
  call('ZADD', key('pholders'), 'NX', str(now + tonumber(lease)), holder)
  call('HSETNX', key('pk'), holder, life)
end
local operation = ARGV[3]

if operation == 'enter' then
  -- topic, session, member, user, holder, token, info, data, since, members_max of the policy, lease, most seats, most
  -- that wait -> rev, changed, position; or nothing if there is no room
  local flat, session, id, user, holder, token = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
  local info, data = ARGV[10], ARGV[11]
  keep_alive(holder, ARGV[14])
  local seat = call('HGET', key('ps', flat), session)
  if not seat then
    local full = tonumber(call('GET', key('pseats')) or 0) >= tonumber(ARGV[15])
    if full or call('XLEN', KEYS[1]) >= tonumber(ARGV[16]) then return false end
  end
  local topic = open(flat)
  topic.max = tonumber(ARGV[13])
  if seat then
    -- A session stays the member that it is, and is this holder's from now on.
    local parts = split(seat)
    id, user = parts[1], parts[2]
    call('SREM', key('ph', parts[3]), flat .. '\0' .. session)
  else
    call('INCR', key('pseats'))
    call('HINCRBY', key('pn', flat), id, 1)
    if user ~= '' then
      call('HINCRBY', key('px', flat), user, 1)
      call('SADD', user_key(flat, user), flat .. '\0' .. session)
    end
  end
  call('SADD', key('ph', holder), flat .. '\0' .. session)
  call('HSET', key('ps', flat), session, table.concat({ id, user, holder, token }, '\0'))
  local there = call('HGET', key('pm', flat), id)
  if there then
    local record = cmsgpack.unpack(there)
    if info == '' then info = record[2] end
    if not seat and data == '' then data = record[3] end
    if info ~= record[2] or data ~= record[3] then
      record[2], record[3] = info, data
      call('HSET', key('pm', flat), id, cmsgpack.pack(record))
      tell(topic, 'update', id, record)
    end
  else
    local record = { user, info, data, ARGV[12] }
    call('HSET', key('pm', flat), id, cmsgpack.pack(record))
    call('ZADD', key('pi', flat), 0, id)
    tell(topic, 'join', id, record)
  end
  save(topic)
  return done(topic)
elseif operation == 'said' then
  -- topic, session -> member and what it says of itself; or nothing
  local seat = call('HGET', key('ps', ARGV[4]), ARGV[5])
  local record = seat and call('HGET', key('pm', ARGV[4]), split(seat)[1])
  return record and { split(seat)[1], cmsgpack.unpack(record)[3] }
elseif operation == 'say' then
  -- topic, session, what it said, what it says -> as enter; -1 if it said something else; nothing if it is no member
  local flat = ARGV[4]
  local seat = call('HGET', key('ps', flat), ARGV[5])
  local id = seat and split(seat)[1]
  local there = id and call('HGET', key('pm', flat), id)
  if not there then return false end
  local record = cmsgpack.unpack(there)
  if record[3] ~= ARGV[6] then return -1 end
  local topic = open(flat)
  if record[3] ~= ARGV[7] then
    record[3] = ARGV[7]
    call('HSET', key('pm', flat), id, cmsgpack.pack(record))
    tell(topic, 'update', id, record)
    save(topic)
  end
  return done(topic)
elseif operation == 'leave' then
  -- topic, session, holder -> as enter, and the token if there was a seat
  local topic = open(ARGV[4])
  local seat = call('HGET', key('ps', ARGV[4]), ARGV[5])
  if not seat or split(seat)[3] ~= ARGV[6] then return done(topic) end
  local token = unseat(topic, ARGV[5], seat)
  save(topic)
  local answer = done(topic)
  answer[4] = token
  return answer
elseif operation == 'members' then
  -- topic, after ('' for the first), limit, bytes -> rev, count, only the number, next ('' for none), members
  local topic, flat, limit, bytes_max = open(ARGV[4]), ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
  local answer = { str(topic.rev), call('HLEN', key('pm', flat)), topic.only and 1 or 0, '' }
  if topic.only or limit == 0 then return answer end
  local from, bytes, last = ARGV[5] == '' and '-' or '(' .. ARGV[5], 0, false
  while true do
    local ids = call('ZRANGEBYLEX', key('pi', flat), from, '+', 'LIMIT', 0, 100)
    for _, id in ipairs(ids) do
      local member = json(id, cmsgpack.unpack(call('HGET', key('pm', flat), id)))
      bytes = bytes + #member
      if last and (#answer - 4 >= limit or bytes > bytes_max) then
        answer[4] = last
        return answer
      end
      answer[#answer + 1], last = member, id
    end
    if #ids < 100 then return answer end
    from = '(' .. last
  end
elseif operation == 'held' then
  -- topic, session -> holder and token; or nothing
  local seat = call('HGET', key('ps', ARGV[4]), ARGV[5])
  local parts = seat and split(seat)
  return parts and { parts[3], parts[4] }
elseif operation == 'adopt' then
  -- topic, session, holder, lease -> member; or nothing
  local flat, session = ARGV[4], ARGV[5]
  local seat = call('HGET', key('ps', flat), session)
  if not seat then return false end
  local parts = split(seat)
  call('SREM', key('ph', parts[3]), flat .. '\0' .. session)
  parts[3] = ARGV[6]
  keep_alive(ARGV[6], ARGV[7])
  call('SADD', key('ph', ARGV[6]), flat .. '\0' .. session)
  call('HSET', key('ps', flat), session, table.concat(parts, '\0'))
  local record = call('HGET', key('pm', flat), parts[1])
  return record and json(parts[1], cmsgpack.unpack(record))
elseif operation == 'remove_user' then
  -- tenant and user -> as unseat_all
  return unseat_all(call('SMEMBERS', key('pu', ARGV[4])))
elseif operation == 'heartbeat' then
  -- holder, lease -> whether it was alive all the time
  local holder = ARGV[4]
  local ends = tonumber(call('ZSCORE', key('pholders'), holder) or nil)
  if not ends then
    keep_alive(holder, ARGV[5])
    return 0
  end
  -- One that was taken for dead, or may have lost members, begins anew as another.
  if ends <= now or call('HGET', key('pk'), holder) ~= life then return 0 end
  call('ZADD', key('pholders'), str(now + tonumber(ARGV[5])), holder)
  return 1
elseif operation == 'reap' then
  -- who asks, most -> as unseat_all; whoever finds as many as it may comes again
  local most, names = tonumber(ARGV[5]), {}
  for _, holder in ipairs(call('ZRANGEBYSCORE', key('pholders'), '-inf', str(now))) do
    if holder ~= ARGV[4] and #names < most then
      local seats = call('SRANDMEMBER', key('ph', holder), most - #names)
      for _, name in ipairs(seats) do names[#names + 1] = name end
      if #names < most then
        call('ZREM', key('pholders'), holder)
        call('HDEL', key('pk'), holder)
      end
    end
  end
  return unseat_all(names)
elseif operation == 'fed' then
  -- fence, upto: milliseconds, number -> 1, or 0 if another owner was here
  local state = call('HMGET', key('pfed'), 'fence', 'ms', 'seq')
  if state[1] and tonumber(state[1]) > tonumber(ARGV[4]) then return 0 end
  call('HSET', key('pfed'), 'fence', ARGV[4])
  local ms, seq, upto, number = tonumber(state[2] or 0), tonumber(state[3] or 0), tonumber(ARGV[5]), tonumber(ARGV[6])
  if upto > ms or upto == ms and number > seq then
    call('HSET', key('pfed'), 'ms', ARGV[5], 'seq', ARGV[6])
    call('XTRIM', KEYS[1], 'MINID', ARGV[5] .. '-' .. str(number + 1))
  end
  return 1
end
return redis.error_reply('ERR unknown operation')
