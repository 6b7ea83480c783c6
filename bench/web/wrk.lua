-- What wrk counted, exactly, and for a program to read.
done = function(summary, latency)
  io.write(string.format(
    '\n{"requests":%d,"bytes":%d,"microseconds":%d,"p99":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(99), summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
