# Notes for OpenDevAgent how a Ruby process ends, which lines ran in it, and whether the workspace put methods of its
# own in the place of those that tests are written with.
#
# Loaded by `RUBYOPT` before the program. Writes nothing to the program's streams and swallows its own errors: a
# program must behave as if this file were not there. One JSON line when the process starts, one when it has ended by
# itself; a process that was cut short (`exit!`) leaves no second line.

module OpenDevAgentWatch
  # Whatever these define, a workspace has no business to define again.
  OWNERS = %w[Minitest::Assertions Minitest::Test Minitest::Runnable Minitest::Reportable Minitest::Result Minitest
              RSpec::Matchers RSpec::Expectations::ExpectationTarget RSpec::Expectations::PositiveExpectationHandler
              RSpec::Expectations::NegativeExpectationHandler RSpec::Core::Example RSpec::Core::Reporter
              Test::Unit::Assertions Test::Unit::TestCase Kernel Integer Float String Array Hash Symbol NilClass TrueClass
              FalseClass BasicObject Object Comparable Process].freeze
  NAMES = %i[== != === eql? equal? ! nil? raise fail exit exit! abort is_a? hash].freeze
  LIBRARIES = /\A(Minitest|RSpec|Test)/.freeze

  module_function

  def inside(path)
    full = path && File.expand_path(path)
    full&.start_with?(@root) ? full.delete_prefix(@root) : nil
  end

  def write(line)
    File.write(@record, "#{JSON.generate(line)}\n", mode: "a")
  rescue StandardError
    nil # the program goes on
  end

  # The stack from which `exit` ended the process, outermost first.
  def left
    error = $! # rubocop:disable Style/SpecialGlobalVars
    return [] unless error.is_a?(SystemExit) && error.success?

    places = (error.backtrace_locations || []).filter_map { |at| [inside(at.absolute_path), at.lineno] }
    places.select(&:first).reverse
  end

  def replaced?
    OWNERS.any? do |name|
      next unless Object.const_defined?(name)

      owner = Object.const_get(name)
      # The tests themselves may add to what they include, but not stand in its place.
      [owner, owner.singleton_class].any? do |each|
        names = name.match?(LIBRARIES) ? each.instance_methods(false) | each.private_instance_methods(false) : NAMES
        names.any? do |method|
          each.method_defined?(method, false) || each.private_method_defined?(method, false) or next
          path = each.instance_method(method).source_location&.first
          path && inside(path) && !inside(path).match?(%r{(\A|/)(test|spec)/|_(test|spec)\.rb\z|\A(\w+/)*(test|spec)_})
        end
      end
    end
  end

  # The lines that ran, and those that could have.
  def executed
    return [nil, {}] unless @covers

    ran, missed = {}, {}
    Coverage.peek_result.each do |path, lines|
      name = inside(path) or next
      lines = lines[:lines] if lines.is_a?(Hash)
      ran[name] = lines.each_index.select { |at| lines[at].to_i.positive? }.map { |at| at + 1 }
      missed[name] = lines.each_index.select { |at| lines[at]&.zero? }.map { |at| at + 1 }
    end
    [ran, missed]
  end

  def start
    @record = ENV.fetch("OPENDEVAGENT_RECORD")
    @root = "#{File.realpath(ENV.fetch('OPENDEVAGENT_ROOT'))}/"
    pid = Process.pid
    # A program that starts another in its own place (`bundle exec`) is still the first.
    nested = ENV.fetch("OPENDEVAGENT_NESTED", pid.to_s) != pid.to_s
    ENV["OPENDEVAGENT_NESTED"] = pid.to_s
    write(start: pid, nested: nested)
    at_exit do
      next unless Process.pid == pid

      from, other, (ran, missed) = left, replaced?, executed
      write(end: pid, nested: nested, left: from, replaced: other, executed: ran, missed: missed)
    rescue StandardError
      write(end: pid, nested: nested)
    end
    # Who measures coverage for itself is left alone.
    @covers = !(File.exist?("Gemfile") && File.read("Gemfile").include?("simplecov"))
    return unless @covers

    require "coverage"
    Coverage.start
  end
end

begin
  require "json"
  OpenDevAgentWatch.start if ENV["OPENDEVAGENT_RECORD"] && ENV["OPENDEVAGENT_ROOT"]
rescue StandardError, LoadError
  nil # the program goes on
end
