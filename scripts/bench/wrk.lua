-- SPDX-License-Identifier: GPL-2.0
-- What wrk measured, as the inside of a JSON object. A percentile that no request
-- stands for is null.

local function percentile(latency, requests, p, least)
	return requests < least and 'null' or string.format('%d', latency:percentile(p))
end

function done(summary, latency, _)
	local e, n = summary.errors, summary.requests
	io.write(string.format(
		'json "requests":%d,"bytes":%.0f,"wall_ns":%.0f,"failed":%d,' ..
		'"p50_us":%s,"p99_us":%s,"p999_us":%s\n',
		n, summary.bytes, summary.duration * 1000,
		e.connect + e.read + e.write + e.status + e.timeout,
		percentile(latency, n, 50, 1), percentile(latency, n, 99, 100),
		percentile(latency, n, 99.9, 1000)))
end
