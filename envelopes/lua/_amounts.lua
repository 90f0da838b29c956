-- Figures arrive as digits and leave as digits. A NaN passes `n > ceiling`, a minus sign passes as
-- a gift, and past 2^53 a number is no longer the one that was sent; none of them is only digits.
local function amount(text)
  if text and #text <= LIMIT.AMOUNT_DIGITS_MAX and string.find(text, '^%d+$') then
    return tonumber(text)
  end
end

-- tostring would write 1e+15.
local function digits(number)
  return string.format('%.0f', number)
end

local function refused(what, why)
  return redis.error_reply('REFUSED ' .. what .. ': ' .. why)
end

-- The name of an operation stands in lists between separators.
local function is_op(text)
  return text and #text <= LIMIT.OP_CHARS_MAX and string.find(text, '^[%w_.-]+$') ~= nil
end
