#include "sim/step.h"

#include <charconv>
#include <iterator>
#include <sstream>

namespace drbdts::sim {

namespace {

struct VerbInfo {
  Verb verb;
  const char* name;
  bool node;                 // takes A or B
  bool text;                 // the rest of the line is free words
  const char* key[4];
};

constexpr VerbInfo kVerbs[] = {
    {Verb::kWrite, "write", false, true, {"volume", "sector", "sectors", "fua"}},
    {Verb::kRead, "read", false, true, {"volume", "sector", "sectors", nullptr}},
    {Verb::kFlush, "flush", false, true, {"volume", nullptr, nullptr, nullptr}},
    {Verb::kDiscard, "discard", false, true, {"volume", "sector", "sectors", nullptr}},
    {Verb::kZero, "zero", false, true, {"volume", "sector", "sectors", "unmap"}},
    {Verb::kReset, "reset", false, false, {}},
    {Verb::kResetAll, "reset-all", false, false, {}},
    {Verb::kStall, "stall", true, false, {"us", "both", nullptr, nullptr}},
    {Verb::kBlackHole, "black-hole", false, false, {}},
    {Verb::kStorm, "storm", false, false, {"times", "every_us", nullptr, nullptr}},
    {Verb::kCut, "cut", false, false, {}},
    {Verb::kHeal, "heal", false, false, {}},
    {Verb::kCrash, "crash", true, false, {}},
    {Verb::kCrashAt, "crash-at-action", true, false, {"actions", nullptr, nullptr, nullptr}},
    {Verb::kPower, "power-loss", true, false, {}},
    {Verb::kPowerAt, "power-loss-at-action", true, false, {"actions", nullptr, nullptr, nullptr}},
    {Verb::kBlackout, "blackout", false, false, {"processes", nullptr, nullptr, nullptr}},
    {Verb::kStart, "start", true, false, {}},
    {Verb::kRevive, "revive", true, false, {}},
    {Verb::kElect, "elect", true, false, {}},
    {Verb::kMove, "move", false, false, {}},
    {Verb::kDemote, "demote", false, false, {}},
    {Verb::kCommand, "command", true, true, {"volume", "sectors", nullptr, nullptr}},
    {Verb::kFault, "disk-error", true, false, {"volume", "kinds", nullptr, nullptr}},
    {Verb::kMend, "disk-mend", true, false, {}},
    {Verb::kSlow, "disk-slow", true, false, {"us", "by_us", nullptr, nullptr}},
    {Verb::kDiskStall, "disk-stall", true, false, {"us", nullptr, nullptr, nullptr}},
    {Verb::kFull, "disk-full", true, false, {"us", nullptr, nullptr, nullptr}},
    {Verb::kPause, "pause", true, false, {"us", nullptr, nullptr, nullptr}},
    {Verb::kWait, "wait", false, false, {}},
    {Verb::kCheck, "check", false, false, {}},
    {Verb::kArbiter, "arbiter", false, true, {"us", nullptr, nullptr, nullptr}},
    {Verb::kUntil, "until", false, true, {}},
    {Verb::kExpect, "expect", false, true, {}},
    {Verb::kAtPacket, "at-packet", true, true, {"nth", nullptr, nullptr, nullptr}},
    {Verb::kAtState, "at-state", true, true, {"after_us", "heal_us", nullptr, nullptr}},
    {Verb::kWatch, "watch", false, false, {"us", nullptr, nullptr, nullptr}},
    {Verb::kRelease, "release", true, false, {}},
    {Verb::kSnapshot, "snapshot", true, false, {}},
    {Verb::kRollBack, "roll-back", true, false, {}},
    {Verb::kNewDisk, "new-disk", true, false, {"known", nullptr, nullptr, nullptr}},
    {Verb::kDiskSize, "disk-size", true, false, {"sectors", nullptr, nullptr, nullptr}},
    {Verb::kModifyDisk, "modify-disk", true, false, {"sector", "sectors", nullptr, nullptr}},
    {Verb::kLoad, "load", true, false, {"writes", "every_us", "sector", "span"}},
    {Verb::kHandler, "handler", true, false, {"exit", "after_us", nullptr, nullptr}},
    {Verb::kRemember, "remember", false, false, {}},
};

const VerbInfo& Info(Verb verb) {
  for (const VerbInfo& i : kVerbs) {
    if (i.verb == verb) return i;
  }
  return kVerbs[0];
}

bool ParseNumber(const std::string& text, uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

std::string Keys(const VerbInfo& i) {
  std::string all;
  for (const char* k : i.key) {
    if (k != nullptr) all += std::string(all.empty() ? "" : ", ") + k;
  }
  return all.empty() ? "nothing more" : all;
}

}  // namespace

std::string PrintStep(const Step& step) {
  const VerbInfo& i = Info(step.verb);
  std::string line = "+" + std::to_string(step.delay_us) + " " + i.name;
  if (i.node) line += step.node == 1 ? " B" : " A";
  if (!step.text.empty()) line += " " + step.text;
  for (size_t k = 0; k < std::size(i.key); ++k) {
    if (i.key[k] != nullptr && step.argument[k] != 0) line += std::string(" ") + i.key[k] + "=" + std::to_string(step.argument[k]);
  }
  return line;
}

std::string ParseStep(const std::string& line, Step& out) {
  std::istringstream words(line);
  std::string word;
  out = Step{};
  if (!(words >> word)) return "expected a step";
  if (word[0] == '+') {
    if (!ParseNumber(word.substr(1), out.delay_us)) return "expected +MICROSECONDS, got '" + word + "'";
    if (!(words >> word)) return "expected a verb after " + line;
  }
  const VerbInfo* info = nullptr;
  std::string names;
  for (const VerbInfo& i : kVerbs) {
    names += std::string(names.empty() ? "" : ", ") + i.name;
    if (word == i.name) info = &i;
  }
  if (info == nullptr) return "unknown verb '" + word + "'; expected one of " + names;
  out.verb = info->verb;
  if (info->node) {
    if (!(words >> word) || (word != "A" && word != "B")) return std::string("expected A or B after ") + info->name;
    out.node = word == "B";
  }
  while (words >> word) {
    const size_t eq = word.find('=');
    bool known = false;
    if (eq != std::string::npos) {
      for (size_t k = 0; k < std::size(info->key); ++k) {
        if (info->key[k] == nullptr || word.substr(0, eq) != info->key[k]) continue;
        known = true;
        if (!ParseNumber(word.substr(eq + 1), out.argument[k])) return "expected a number in '" + word + "'";
      }
    }
    if (known) continue;
    if (!info->text) return "unexpected '" + word + "' after " + info->name + "; expected " + Keys(*info);
    out.text += (out.text.empty() ? "" : " ") + word;
  }
  return CheckWords(out);
}

std::string ParseScenario(const std::string& text, Scenario& out) {
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    std::string why;
    if (line.compare(begin, 7, "option ") == 0) {
      std::istringstream words(line.substr(begin + 7));
      std::string name, value, more;
      words >> name >> value;
      why = value.empty() || words >> more ? "expected: option NAME VALUE" : SetOption(out.options, name, value);
    } else {
      Step step;
      why = ParseStep(line.substr(begin), step);
      step.line = number;
      out.steps.push_back(std::move(step));
    }
    if (!why.empty()) return std::to_string(number) + ": " + why;
  }
  return "";
}

std::string PrintScenario(const Scenario& scenario) {
  std::string out;
  for (const std::string& o : DescribeOptions(scenario.options)) out += o + "\n";
  for (const Step& s : scenario.steps) out += PrintStep(s) + "\n";
  return out;
}

}  // namespace drbdts::sim
