-- Give ARGV[first..last] to a command, a bounded number at a time: Lua's stack ends near 8,000.
local function in_chunks(command, key, first, last)
  for from = first, last, LIMIT.LUA_ARGS_MAX do
    redis.call(command, key, unpack(ARGV, from, math.min(from + LIMIT.LUA_ARGS_MAX - 1, last)))
  end
end
