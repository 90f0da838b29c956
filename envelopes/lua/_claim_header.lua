-- Read which subtask a message is of, and the nonce that COMMIT issued with it. Base64 has no quotes,
-- so a plain search runs through the body at the speed of memchr; in a JSON string quotes are escaped,
-- so only a real header is found.
local function claim_header(raw)
  local found = string.find(raw, '"buckstop_claim"', 1, true)
  if found then
    return string.match(raw, '^"buckstop_claim":%s*"([%w-]+/%d+):(%x+)"', found)
  end
end
