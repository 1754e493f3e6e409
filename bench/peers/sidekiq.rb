# No-op jobs through Sidekiq, on the Redis of REDIS_URL. `ruby sidekiq.rb push JOBS` writes a backlog. `work NAME` runs jobs until
# it is killed, and prints when a numbered job starts. `one-by-one JOBS` pushes numbered jobs, and prints when each push
# begins.
require "sidekiq"

$stdout.sync = true
redis = { url: ENV.fetch("REDIS_URL") }
Sidekiq.configure_server do |config|
  config.redis = redis
  config.logger.level = Logger::WARN # two log lines cost more than the job
end
Sidekiq.configure_client { |config| config.redis = redis }

# The clock of the machine, so that times of two processes can be compared.
def now = Process.clock_gettime(Process::CLOCK_REALTIME, :float_millisecond)
def say(number, at) = $stdout.write("#{number} #{at}\n")

class Noop
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(number)
    say(number, now) if number
  end
end

if $PROGRAM_NAME == __FILE__
  verb, argument = ARGV
  case verb
  when "push"
    (1..argument.to_i).each_slice(1000) { |jobs| Sidekiq::Client.push_bulk("class" => Noop, "args" => jobs.map { [nil] }) }
  when "one-by-one"
    argument.to_i.times do |number|
      at = now
      Noop.perform_async(number)
      say(number, at)
      sleep 0.01 # Let the worker wait again.
    end
  when "work"
    # Sidekiq's default number of threads. More threads only wait for Ruby's lock.
    exec("sidekiq", "-c", "10", "-r", File.expand_path(__FILE__))
  end
end
