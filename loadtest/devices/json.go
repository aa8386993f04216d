package devices

import "bytes"

// members walks over the members of a JSON object in compact form, whose values it hands over as they stand. It trusts the
// text to be JSON: what is malformed ends the walk with false, or is seen as something else.
func members(b []byte, each func(name, value []byte)) bool {
	if len(b) < 2 || b[0] != '{' {
		return false
	}
	i := 1
	for i < len(b) && b[i] != '}' {
		if b[i] == ',' {
			i++
		}
		end := skip(b, i)
		if end < 0 || end >= len(b) || b[i] != '"' || b[end] != ':' {
			return false
		}
		name := b[i+1 : end-1]
		i = end + 1
		if end = skip(b, i); end < 0 {
			return false
		}
		each(name, b[i:end])
		i = end
	}
	return i < len(b)
}

// skip is where the value that begins at i ends; -1: nowhere.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipNested(b, i)
	}
	if n := bytes.IndexAny(b[i:], ",}]"); n >= 0 {
		return i + n
	}
	return -1
}

func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		slashes := 0
		for s := i + n - 1; s >= i && b[s] == '\\'; s-- {
			slashes++
		}
		if i += n; slashes%2 == 0 {
			return i + 1
		}
	}
	return -1
}

func skipNested(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}
