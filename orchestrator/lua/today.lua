-- TODAY: say which day it is by the server's clock.
--
-- KEYS   none
-- ARGV   none
-- Reply  days since 1970
-- needs: _time, _amounts, _books
return math.floor(now_ms() / DAY_MS)
