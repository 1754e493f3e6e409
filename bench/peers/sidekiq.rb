# No-op jobs through Sidekiq, whose process loads this file: it notes when each job starts.
# `ruby sidekiq.rb push JOBS` writes a backlog; `ruby sidekiq.rb idle JOBS` pushes one after the other and tells when.
require "json"
require "sidekiq"

redis = { url: ENV.fetch("REDIS_URL") }
Sidekiq.configure_server do |config|
  config.redis = redis
  config.logger.level = Logger::WARN # two lines a job would cost more than the job
end
Sidekiq.configure_client { |config| config.redis = redis }

class Noop
  include Sidekiq::Worker
  sidekiq_options retry: false

  # The clock of the machine, so that two processes can compare.
  def perform(number)
    Noop.started(number, Process.clock_gettime(Process::CLOCK_REALTIME)) if number
  end

  def self.started(number, at) = Sidekiq.redis { |redis| redis.hset("started", number, at) }
end

if $PROGRAM_NAME == __FILE__
  jobs = Integer(ARGV[1])
  if ARGV[0] == "push"
    (1..jobs).each_slice(1000) { |slice| Sidekiq::Client.push_bulk("class" => Noop, "args" => slice.map { [nil] }) }
  else
    pushed = (1..jobs).map do |number|
      Noop.perform_async(number)
      at = Process.clock_gettime(Process::CLOCK_REALTIME)
      sleep 0.01
      at
    end
    started = Sidekiq.redis do |redis|
      sleep 0.01 until redis.hlen("started") == jobs
      redis.hgetall("started")
    end
    waits = pushed.each_with_index.map { |at, index| [0, (started[(index + 1).to_s].to_f - at) * 1000].max }.sort
    puts JSON.generate(p50_ms: waits[jobs / 2], p99_ms: waits[jobs * 99 / 100])
  end
end
