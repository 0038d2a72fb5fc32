# Writes every result of minitest as one JSON line for OpenDevAgent: class and test, file, outcome. Minitest loads
# each `minitest/*_plugin.rb` on the load path by itself.
require "json"

module Minitest
  class OpenDevAgentReporter < AbstractReporter
    MAX = 8192

    def initialize(path)
      super()
      @path = path
      @lines = []
    end

    def record(result)
      cause = result.failure
      skipped = result.skipped?
      file, line = result.source_location
      @lines << JSON.generate(
        file: file.to_s.delete_prefix("#{Dir.pwd}/"), names: [result.klass, result.name], line: line,
        state: skipped ? "skipped" : result.passed? ? "pass" : "fail",
        message: cause && !skipped ? cause.message[0, MAX].scrub : "",
        detail: cause && !skipped ? result.failures.map { |one| "#{one.message}\n#{places(one)}" }.join("\n")[0, MAX].scrub : "",
      )
    end

    # Only a run that came to its end has a report.
    def report
      File.write(@path, @lines.map { |line| "#{line}\n" }.join, mode: "a")
    end

    private

    def places(failure)
      error = failure.respond_to?(:error) ? failure.error : failure
      Minitest.filter_backtrace(error.backtrace).join("\n")
    end
  end

  def self.plugin_opendevagent_init(_options)
    path = ENV["OPENDEVAGENT_LINES"]
    reporter << OpenDevAgentReporter.new(path) if path
  end
end
