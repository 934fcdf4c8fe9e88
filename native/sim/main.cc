// `npm run sim`: plays lives by seed, says what they found and how to play that again. Each job is a process of its own, so that an abort in
// the core under test is a finding like any other.
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "sim/grid.h"
#include "sim/life.h"
#include "sim/register_replay.h"
#include "sim/shrink.h"

namespace {

using namespace drbdts::sim;

constexpr int kUsage = 64, kFound = 1;
constexpr int kFindingsMax = 20;

bool trace_all = false;

/// Every packet and every disk request, on stderr.
class Tracer : public Observer {
 public:
  explicit Tracer(World& world) : world_(world) {}
  void OnPacket(Node& node, drbdts::core::Command command, uint16_t, bool) override {
    world_.Note(std::string("packet to ") + node.name() + " " + drbdts::core::CommandName(command));
  }
  void OnAction(Node& node, const drbdts::core::Action& a) override {
    static const char* const names[] = {"read", "write", "flush", "discard", "zero", "meta-read", "meta-write"};
    if (static_cast<size_t>(a.kind) >= std::size(names)) return;
    world_.Note(std::string("disk ") + node.name() + " " + std::to_string(a.volume) + " " + names[static_cast<size_t>(a.kind)] + " " + std::to_string(a.offset_bytes / 512) + "+" +
                std::to_string(a.bytes / 512) + (a.dsync ? " dsync" : ""));
  }

 private:
  World& world_;
};

std::string Play(Life& life) {
  Tracer tracer(life.world());
  if (trace_all) life.world().observers.push_back(&tracer);
  return life.Run();
}

struct Arguments {
  bool has_seed = false, trace = false, shrink = false, print = false, tables = false, json = false, grid = false;
  uint64_t seed = 1, count = 0, minutes = 0, jobs = 1;
  std::string out, cells;
  std::vector<std::string> scenarios;
};

void PrintUsage() {
  std::fputs(
      "usage: npm run sim -- [--seed N] [--count N | --minutes M] [--jobs J] [--trace] [--shrink [--out FILE]] [--print] [--tables] [--json]\n"
      "       npm run sim -- --scenario FILE... [--trace] [--shrink [--out FILE]]\n"
      "       npm run sim -- --grid [PART-OF-A-NAME] [--trace] [--print] [--shrink [--out FILE]]\n"
      "  --seed N       first seed (default: from the time of day, printed)\n"
      "  --count N      that many lives (default: 1 with --seed, else 1000)\n"
      "  --minutes M    lives for that long\n"
      "  --jobs J       that many at once (default 1)\n"
      "  --trace        what the nodes log and what is done to them, on stderr\n"
      "  --trace-all    also every packet and disk request\n"
      "  --shrink       find a shorter schedule that fails the same way and print it as a scenario\n"
      "  --print        print the schedule of the seed as a scenario and do not play it\n"
      "  --tables       print the tables of states, events and rules that were reached, also by the scenarios and the grid; fails if something\n"
      "                 is unexplained\n"
      "  --grid         every command, request and fault in every connection state; only what has the given part in its name\n"
      "  --json         the summary as JSON\n"
      "  --register     operations on the arbiter's register from stdin, its answers on stdout\n",
      stderr);
}

[[noreturn]] void Refuse(const std::string& why) {
  std::fprintf(stderr, "sim: %s\n", why.c_str());
  PrintUsage();
  std::exit(kUsage);
}

uint64_t ParseNumber(const char* option, const char* text) {
  uint64_t n = 0;
  if (text == nullptr) Refuse(std::string(option) + " expects a number");
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), n);
  if (error != std::errc() || *end != '\0') Refuse(std::string(option) + " expects a number, got '" + text + "'");
  return n;
}

Arguments Parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string o = argv[i];
    const char* next = i + 1 < argc ? argv[i + 1] : nullptr;
    if (o == "--seed") a.seed = ParseNumber("--seed", next), a.has_seed = true, ++i;
    else if (o == "--count") a.count = ParseNumber("--count", next), ++i;
    else if (o == "--minutes") a.minutes = ParseNumber("--minutes", next), ++i;
    else if (o == "--jobs") a.jobs = ParseNumber("--jobs", next), ++i;
    else if (o == "--trace") a.trace = true;
    else if (o == "--trace-all") a.trace = trace_all = true;
    else if (o == "--shrink") a.shrink = true;
    else if (o == "--print") a.print = true;
    else if (o == "--tables") a.tables = true;
    else if (o == "--json") a.json = true;
    else if (o == "--grid") {
      a.grid = true;
      if (next != nullptr && next[0] != '-') a.cells = next, ++i;
    }
    else if (o == "--out") {
      if (next == nullptr) Refuse("--out expects a file");
      a.out = next, ++i;
    } else if (o == "--scenario") {
      if (next == nullptr) Refuse("--scenario expects a file");
      while (i + 1 < argc && argv[i + 1][0] != '-') a.scenarios.push_back(argv[++i]);
    } else if (o == "--help" || o == "-h") {
      PrintUsage();
      std::exit(0);
    } else {
      Refuse("unknown option '" + o + "'");
    }
  }
  if (a.jobs == 0 || a.jobs > 64) Refuse("--jobs expects 1 to 64");
  if (!a.has_seed) a.seed = static_cast<uint64_t>(time(nullptr)) * 1000;
  if (a.count == 0) a.count = a.has_seed ? 1 : 1000;
  return a;
}

Scenario OfSeed(uint64_t seed) {
  Scenario s;
  s.options = DrawOptions(seed);
  s.steps = DrawSteps(s.options);
  return s;
}

/// What a job shares with its parent.
struct Shared {
  volatile uint64_t seed;       // being played
  volatile uint64_t done;       // lives finished
  uint64_t named;               // index of the scenario or cell being played
  uint64_t early_kib, peak_kib; // the most memory it held until a tenth of its lives or time was over, and until now
  Statistics statistics;
  Coverage::Counters coverage;
};

Shared* MapShared() {
  void* p = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    std::perror("sim: mmap");
    std::exit(kUsage);
  }
  return static_cast<Shared*>(p);
}

/// Plays one after the other in a process of its own, as an abort is a finding, too. `done` hears of each.
void PlayAllApart(const std::vector<Scenario>& scenarios, const std::function<void(size_t, const std::string&)>& done) {
  size_t next = 0;
  while (next < scenarios.size()) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(kUsage);
      for (; next < scenarios.size(); ++next) {
        const std::string what = Life(scenarios[next], nullptr, false).Run() + '\0';
        if (write(ends[1], what.data(), what.size()) != static_cast<ssize_t>(what.size())) _exit(kUsage);
      }
      _exit(0);
    }
    close(ends[1]);
    std::string what;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) {
      what.append(buffer, static_cast<size_t>(n));
      for (size_t end; (end = what.find('\0')) != std::string::npos; what.erase(0, end + 1)) done(next++, what.substr(0, end));
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (next < scenarios.size()) done(next++, WIFSIGNALED(status) ? std::string("abort: ") + strsignal(WTERMSIG(status)) : "abort: the simulator ended");
  }
}

std::string PlayApart(const Scenario& scenario) {
  std::string found;
  PlayAllApart({scenario}, [&found](size_t, const std::string& what) { found = what; });
  return found;
}

int ShrinkAndPrint(const Arguments& a, const Scenario& from, const std::string& name) {
  const std::string what = PlayApart(from);
  if (what.empty()) {
    std::fprintf(stderr, "sim: %s finds nothing: there is nothing to shrink\n", name.c_str());
    return 0;
  }
  const Scenario small = Shrink(from, PlayApart, [](size_t left) { std::fprintf(stderr, "\r%zu steps left ", left); });
  std::string text = "# " + name + ": " + PlayApart(small).substr(0, 400);
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3) text.replace(at, 1, "\n# ");
  text += "\n" + PrintScenario(small);
  std::fprintf(stderr, "\n");
  if (a.out.empty()) {
    std::fputs(text.c_str(), stdout);
  } else {
    std::ofstream(a.out) << text;
  }
  return kFound;
}

uint64_t PeakKib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss);
}

/// When a run is to end: before this seed, and (if not 0) at that time.
struct Until {
  uint64_t end;
  time_t begun, deadline;
  bool ATenth(uint64_t first, uint64_t seed) const { return deadline == 0 ? (seed - first) * 10 >= end - first : (time(nullptr) - begun) * 10 >= deadline - begun; }
};

/// Lives seed, seed + step, ...; returns at the end or when the deadline has come.
void RunJob(Shared& shared, uint64_t first, uint64_t step, const Until& until, bool trace) {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest that is taken: memory goes from life to life without the kernel
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  Coverage coverage(shared.coverage);
  int found = 0;
  for (uint64_t seed = first; seed < until.end; seed += step) {
    shared.seed = seed;
    const Scenario scenario = OfSeed(seed);
    Life life(scenario, &coverage, trace);
    const std::string what = Play(life);
    shared.statistics.Add(life.statistics());
    shared.done = shared.done + 1;
    shared.peak_kib = std::max(shared.peak_kib, PeakKib());
    if (shared.early_kib == 0 && until.ATenth(first, seed + step)) shared.early_kib = shared.peak_kib;
    if (!what.empty()) {
      std::printf("npm run sim -- --seed %llu\n  %s\n", static_cast<unsigned long long>(seed), what.c_str());
      std::fflush(stdout);
      if (++found == kFindingsMax) _exit(kFound);
    }
    if (until.deadline != 0 && time(nullptr) >= until.deadline) break;
  }
  std::fflush(stdout);
  _exit(found == 0 ? 0 : kFound);
}

constexpr const char* kScenarioFolder = "test/scenarios";

/// Empty, or what is wrong with the file.
std::string LoadScenario(const std::string& file, Scenario& out) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  return !in ? "0: cannot be read: " + std::string(std::strerror(errno)) : ParseScenario(text.str(), out);
}

/// A scenario, and how to play it again.
struct Named {
  std::string command;
  Scenario scenario;
};

std::vector<Named> Grid(const std::string& part) {
  std::vector<Named> all;
  for (Cell& cell : GridCells(part)) all.push_back({"npm run sim -- --grid " + cell.name, std::move(cell.scenario)});
  if (all.empty()) Refuse("--grid has nothing called '" + part + "'");
  return all;
}

/// For the tables: what a seed meets once in a million lives is met every time.
std::vector<Named> ScenariosAndGrid() {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(kScenarioFolder, error)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path().string());
  }
  if (error || files.empty()) Refuse(std::string("--tables plays the scenarios, too, and finds none in ") + kScenarioFolder + ": start it from the project's root");
  std::sort(files.begin(), files.end());
  std::vector<Named> all;
  for (const std::string& file : files) {
    Scenario scenario;
    const std::string why = LoadScenario(file, scenario);
    if (!why.empty()) Refuse(file + ":" + why);
    all.push_back({"npm run sim -- --scenario " + file, std::move(scenario)});
  }
  for (Named& cell : Grid("")) all.push_back(std::move(cell));
  return all;
}

/// Plays them all and says what they find. Returns how many found something.
int PlayNamed(const std::vector<Named>& all, Shared& shared, bool trace) {
  int found = 0;
  std::fflush(stdout);
  uint64_t& at = shared.named;
  for (at = 0; at < all.size(); ++at) {  // again after an abort
    const pid_t child = fork();
    if (child == 0) {
      Coverage coverage(shared.coverage);
      int result = 0;
      for (; at < all.size(); ++at) {
        const Named& named = all[at];
        if (trace) std::fprintf(stderr, "%s\n", named.command.c_str());
        Life life(named.scenario, &coverage, trace);
        const std::string what = Play(life);
        shared.statistics.Add(life.statistics());
        if (what.empty()) continue;
        std::printf("%s\n  %s\n", named.command.c_str(), what.c_str());
        std::fflush(stdout);
        if (++result + found == kFindingsMax) break;
      }
      _exit(result);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0) {
      std::perror("sim: fork");
      std::exit(kUsage);
    }
    if (!WIFSIGNALED(status)) return found + WEXITSTATUS(status);
    ++found;
    std::printf("%s\n  abort: %s\n", all[at].command.c_str(), strsignal(WTERMSIG(status)));
    std::fflush(stdout);
  }
  return found;
}

/// What the jobs held at most, together: until a tenth of the run was over, and until its end. Apart from what the first few large lives bring the two
/// are to be the same: lives leave nothing behind.
struct Memory {
  uint64_t early_kib = 0, peak_kib = 0;
};

void PrintSummary(const Arguments& a, const Statistics& s, const Coverage::Counters& c, int found, const Memory& memory, double seconds) {
  uint64_t rules = 0, pairs = 0;
  for (const uint64_t n : c.rule) rules += n != 0;
  for (const CoverageRow& row : CoverageRows(c)) {
    for (size_t i = 0; i < kConnStates; ++i) pairs += row.count[i] != 0;
  }
  const struct {
    const char* name;
    uint64_t value;
  } facts[] = {{"lives", s.lives}, {"found", static_cast<uint64_t>(found)}, {"steps", s.steps}, {"events", s.events}, {"writes", s.writes}, {"reads", s.reads},
               {"errors", s.errors}, {"crashes", s.crashes}, {"power losses", s.power_losses}, {"resyncs", s.resyncs}, {"handshakes", s.handshakes},
               {"split brains", s.split_brains}, {"arbiter swaps", s.swaps}, {"arbiter denials", s.denials}, {"left to the operator", s.parted},
               {"disks compared with what they track", s.tracked_checks}, {"states reached", StatesReached(c)}, {"state x event pairs", pairs}, {"rules reached", rules}};
  if (a.json) {
    std::printf("{");
    for (const auto& f : facts) std::printf("\"%s\":%llu,", f.name, static_cast<unsigned long long>(f.value));
    std::printf("\"first seed\":%llu,\"seconds\":%.1f,\"peak KiB at a tenth\":%llu,\"peak KiB at the end\":%llu}\n", static_cast<unsigned long long>(a.seed), seconds,
                static_cast<unsigned long long>(memory.early_kib), static_cast<unsigned long long>(memory.peak_kib));
    return;
  }
  std::printf("seeds from %llu:", static_cast<unsigned long long>(a.seed));
  for (const auto& f : facts) std::printf(" %llu %s,", static_cast<unsigned long long>(f.value), f.name);
  std::printf(" %.1f s, %.0f lives/s, %.0f events per life, %.0f events/s, peak memory %llu MiB at a tenth and %llu MiB at the end\n", seconds, static_cast<double>(s.lives) / seconds,
              s.lives == 0 ? 0 : static_cast<double>(s.events) / static_cast<double>(s.lives), static_cast<double>(s.events) / seconds,
              static_cast<unsigned long long>(memory.early_kib >> 10), static_cast<unsigned long long>(memory.peak_kib >> 10));
}

int RunMany(const Arguments& a) {
  timespec begin{};
  clock_gettime(CLOCK_MONOTONIC, &begin);
  const time_t start_time = time(nullptr), deadline = a.minutes == 0 ? 0 : start_time + static_cast<time_t>(a.minutes * 60);
  const uint64_t end = a.minutes == 0 ? a.seed + a.count : ~uint64_t{0};
  const Until until{end, start_time, deadline};
  std::fflush(stdout);
  std::vector<std::pair<pid_t, Shared*>> jobs;
  const auto start = [&](Shared* shared, uint64_t first) -> pid_t {
    const pid_t child = fork();
    if (child == 0) RunJob(*shared, first, a.jobs, until, a.trace);
    if (child < 0) {
      std::perror("sim: fork");
      std::exit(kUsage);
    }
    return child;
  };
  for (uint64_t j = 0; j < a.jobs; ++j) {
    Shared* shared = MapShared();
    jobs.push_back({start(shared, a.seed + j), shared});
  }
  int found = 0;
  bool failed = false;
  Shared* named = nullptr;
  if (a.tables) {
    named = MapShared();
    failed = PlayNamed(ScenariosAndGrid(), *named, false) != 0;
  }
  for (size_t left = jobs.size(); left != 0;) {
    int status = 0;
    const pid_t pid = wait(&status);
    if (pid < 0 && errno == EINTR) continue;
    for (auto& [child, shared] : jobs) {
      if (child != pid) continue;
      --left;
      failed = failed || !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
      if (!WIFSIGNALED(status)) continue;
      std::printf("npm run sim -- --seed %llu\n  abort: %s\n", static_cast<unsigned long long>(shared->seed), strsignal(WTERMSIG(status)));
      std::fflush(stdout);
      if (++found >= kFindingsMax || (deadline != 0 && time(nullptr) >= deadline) || shared->seed + a.jobs >= end) continue;
      child = start(shared, shared->seed + a.jobs);
      ++left;
    }
  }
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  Statistics statistics;
  auto coverage = std::make_unique<Coverage::Counters>();
  Memory memory;
  for (auto& [child, shared] : jobs) {
    memory.early_kib += shared->early_kib, memory.peak_kib += shared->peak_kib;
    statistics.Add(shared->statistics);
    coverage->Add(shared->coverage);
  }
  uint64_t unexplained = 0;
  if (a.tables) {
    coverage->Add(named->coverage);
    std::fputs(CoverageTables(*coverage, unexplained).c_str(), stdout);
    if (unexplained != 0) std::printf("\n%llu pairs or rules were neither reached nor explained\n", static_cast<unsigned long long>(unexplained));
  }
  PrintSummary(a, statistics, *coverage, static_cast<int>(statistics.found) + found, memory, static_cast<double>(now.tv_sec - begin.tv_sec) + static_cast<double>(now.tv_nsec - begin.tv_nsec) / 1e9);
  return failed || unexplained != 0 ? kFound : 0;
}

int RunGrid(const Arguments& a) {
  const std::vector<Named> cells = Grid(a.cells);
  if (a.print) {
    for (const Named& cell : cells) std::printf("# %s\n%s", cell.command.c_str(), PrintScenario(cell.scenario).c_str());
    return 0;
  }
  if (a.shrink) return ShrinkAndPrint(a, cells[0].scenario, cells[0].command);
  Shared* shared = MapShared();
  const int found = PlayNamed(cells, *shared, a.trace);
  std::printf("%llu lives, %d found\n", static_cast<unsigned long long>(shared->statistics.lives), found);
  return found == 0 ? 0 : kFound;
}

int RunScenarios(const Arguments& a) {
  std::vector<Scenario> scenarios;
  for (const std::string& file : a.scenarios) {
    Scenario& scenario = scenarios.emplace_back();
    const std::string why = LoadScenario(file, scenario);
    if (!why.empty()) {
      std::fprintf(stderr, "sim: %s:%s\n", file.c_str(), why.c_str());
      return kUsage;
    }
    if (a.shrink) return ShrinkAndPrint(a, scenario, file);
  }
  int result = 0;
  const auto done = [&](size_t i, const std::string& what) {
    std::printf("%s %s%s%s\n", what.empty() ? "ok" : "FAILED", a.scenarios[i].c_str(), what.empty() ? "" : "\n  ", what.c_str());
    std::fflush(stdout);
    if (!what.empty()) result = kFound;
  };
  if (!a.trace) {
    PlayAllApart(scenarios, done);
    return result;
  }
  for (size_t i = 0; i < scenarios.size(); ++i) {
    Life life(scenarios[i], nullptr, true);
    done(i, Play(life));
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--register") return drbdts::sim::ReplayRegister();
  const Arguments a = Parse(argc, argv);
  if (!a.scenarios.empty()) return RunScenarios(a);
  if (a.grid) return RunGrid(a);
  if (a.print) {
    std::fputs(PrintScenario(OfSeed(a.seed)).c_str(), stdout);
    return 0;
  }
  if (a.shrink) return ShrinkAndPrint(a, OfSeed(a.seed), "seed " + std::to_string(a.seed));
  return RunMany(a);
}
