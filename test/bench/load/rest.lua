-- Sends the requests of a file in turn, one a line: method, path, user, token, body, between tabs. With `paired`, each
-- thread keeps to lines of its own, so that a block and the unblock after it never overtake each other.
local requests, at, threads = {}, 0, {}
local needle
-- Global, so that `done` can ask each thread for them.
wrong, example = 0, ""

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  local file, count, paired = args[1], tonumber(args[2]), args[3] == "paired"
  needle = args[4]
  local line_number = 0
  for line in io.lines(file) do
    local mine = not paired or math.floor(line_number / 2) % count == number
    line_number = line_number + 1
    if mine then
      local method, path, user, token, body = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.*)$")
      local headers = { ["authorization"] = "Bearer " .. token, ["x-user-id"] = user }
      if body ~= "" then headers["content-type"] = "application/json" end
      table.insert(requests, wrk.format(method, path, headers, body ~= "" and body or nil))
    end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function response(status, headers, body)
  if status ~= 200 or not body:find(needle, 1, true) then
    wrong = wrong + 1
    if example == "" then example = status .. " " .. body:sub(1, 200) end
  end
end

function done(summary, latency, requests)
  local all, first = 0, ""
  for _, thread in ipairs(threads) do
    all = all + thread:get("wrong")
    if first == "" then first = thread:get("example") end
  end
  local e = summary.errors
  local lost = e.connect + e.read + e.write + e.timeout
  io.write(string.format("\nRESULT\t%d\t%f\t%f\t%f\t%d\t%s\n", summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, all + lost, first:gsub("[\n\t]", " ")))
end
