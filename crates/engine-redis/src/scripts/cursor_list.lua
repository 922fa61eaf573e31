-- A page of records. KEYS: records, their names in order. ARGV: from, to (as ZRANGEBYLEX takes them), what a name must end
-- with ('' for anything), most. Answers: name, record, …
local call = redis.call
local found, from, most = {}, ARGV[1], tonumber(ARGV[4])
while #found < 2 * most do
  local names = call('ZRANGEBYLEX', KEYS[2], from, ARGV[2], 'LIMIT', 0, 200)
  for _, name in ipairs(names) do
    if ARGV[3] == '' or string.sub(name, -#ARGV[3]) == ARGV[3] then
      found[#found + 1], found[#found + 2] = name, call('HGET', KEYS[1], name)
      if #found == 2 * most then break end
    end
  end
  if #names < 200 then break end
  from = '(' .. names[#names]
end
return found
