package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	parseError = regexp.MustCompile(`(?s)^parser error: (?:parse error at )?<input>:(\d+):(\d+)(?: "(?:[^"\\]|\\.)*")?: (.*)$`)
	exactError = regexp.MustCompile(`(?s)^exact got (.*) want (.*)$`)
	listError  = regexp.MustCompile(`(?s)^got (.*) want ,$`)
	rangeError = regexp.MustCompile(`strconv\.ParseInt: parsing "(-?\d+)": value out of range`)
	callError  = regexp.MustCompile("(?s)^`?([^ `]*)`? (is (?:not )?a .*|expects .*)$")
)

// methods and functions that Cedar knows, for "did you mean".
var (
	cedarMethods = []string{
		"contains", "containsAll", "containsAny", "isEmpty", "hasTag", "getTag", "isIpv4", "isIpv6", "isLoopback", "isMulticast",
		"isInRange", "lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual", "offset", "durationSince", "toDate", "toTime",
		"toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays",
	}
	cedarFunctions = []string{"ip", "decimal", "datetime", "duration"}
)

// syntax puts Cedar's parse error into our words and finds the place it means. Cedar names the token after the
// one it could not take, because it has already stepped over it.
func (s statement) syntax(err error) (position, string) {
	m := parseError.FindStringSubmatch(err.Error())
	if large := rangeError.FindStringSubmatch(err.Error()); large != nil {
		return find(s.tokens, strings.TrimPrefix(large[1], "-")), large[1] + " is too large a number"
	}
	if m == nil {
		return s.tokens[0].at, strings.TrimPrefix(err.Error(), "parser error: ")
	}
	i, message := s.tokenAt(m[1], m[2]), m[3]
	if exact := exactError.FindStringSubmatch(message); exact != nil {
		i = s.back(i, exact[1])
		if exact[2] == ";" && i > 0 && i < len(s.tokens) && s.tokens[i].at.line > s.tokens[i-1].at.line {
			return s.end(i - 1), fmt.Sprintf("expected \";\" here: the policy is not ended before %s", s.name(i))
		}
		return s.place(i), fmt.Sprintf("expected %q, found %s", exact[2], s.name(i))
	}
	if listError.MatchString(message) {
		return s.place(i), fmt.Sprintf("expected \",\" or a closing bracket, found %s", s.name(i))
	}
	if call := callError.FindStringSubmatch(message); call != nil {
		for j := min(i, len(s.tokens)-1); j >= 0; j-- {
			if s.tokens[j].text == call[1] {
				i = j
				break
			}
		}
		return s.place(i), call[1] + " " + call[2] + hint(call[1], call[2])
	}
	i = s.back(i, "")
	switch {
	case strings.HasPrefix(message, "unexpected effect"):
		word := s.name(i)
		return s.place(i), fmt.Sprintf("expected permit or forbid, found %s%s", word, s.meant(i, "permit", "forbid"))
	case message == "invalid primary":
		return s.place(i), fmt.Sprintf("expected a value, found %s%s", s.name(i), s.meant(i, "principal", "action", "resource", "context", "true", "false"))
	case message == "unexpected token":
		return s.place(i), "did not expect " + s.name(i)
	case strings.HasPrefix(message, "expected ident"):
		return s.place(i), fmt.Sprintf("expected a name, found %s", s.name(i))
	case strings.HasPrefix(message, "expected string"):
		return s.place(i), fmt.Sprintf("expected a string in quotes, found %s", s.name(i))
	}
	return s.place(i), message
}

func hint(name, what string) string {
	switch what {
	case "is not a method":
		return didYouMean(name, cedarMethods)
	case "is not a function":
		return didYouMean(name, cedarFunctions)
	}
	return ""
}

// tokenAt finds a token by line and column within the statement, as Cedar counts them; past the last token it is
// their number.
func (s statement) tokenAt(line, column string) int {
	l, _ := strconv.Atoi(line)
	c, _ := strconv.Atoi(column)
	first := s.tokens[0].at
	at := position{first.line + l - 1, c}
	if l == 1 {
		at.column += first.column - 1
	}
	for i, t := range s.tokens {
		if t.at.line > at.line || t.at.line == at.line && t.at.column >= at.column {
			return i
		}
	}
	return len(s.tokens)
}

// back gives the token before i, which Cedar could not take: if it has that text, or any text when it is empty.
// At the end of the text Cedar does not step on, so the end itself is meant.
func (s statement) back(i int, text string) int {
	if i == len(s.tokens) && s.tokens[i-1].text != ";" {
		return i
	}
	if i == 0 || text != "" && s.tokens[i-1].text != text {
		return i
	}
	return i - 1
}

func (s statement) place(i int) position {
	if i < len(s.tokens) {
		return s.tokens[i].at
	}
	return s.end(len(s.tokens) - 1)
}

// end is the place right after token i, which has no line break in it.
func (s statement) end(i int) position {
	t := s.tokens[i]
	return position{t.at.line, t.at.column + len([]rune(t.text))}
}

func (s statement) name(i int) string {
	if i < len(s.tokens) {
		return s.tokens[i].text
	}
	return "the end of the file"
}

func (s statement) meant(i int, known ...string) string {
	if i < len(s.tokens) && s.tokens[i].kind == tokenWord {
		return didYouMean(s.tokens[i].text, known)
	}
	return ""
}
