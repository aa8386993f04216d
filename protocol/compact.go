package protocol

// MaxJSONDepth is how deep arrays and objects of a payload may nest: what common JSON readers bear.
const MaxJSONDepth = 10_000

// CompactJSON appends src, which must be one valid UTF-8 JSON value, without the white space between its tokens, and
// with nothing else changed: numbers, escapes, lone surrogates and duplicate names stay as they came. SPEC 5.2.4, 9.5.2, 10.4.7.
// The error is an *Error that names the byte. It allocates only where dst is too small, and dst may be src[:0].
func CompactJSON(dst, src []byte) ([]byte, error) {
	c := compactor{dst: dst, src: src}
	if err := c.run(); err != nil {
		return dst, err
	}
	return c.dst, nil
}

// compactor walks src once. What lies between kept and at is good, and not yet appended to dst.
type compactor struct {
	dst, src []byte
	kept, at int
	depth    int
	objects  [(MaxJSONDepth + 63) / 64]uint64 // a bit a level: set in an object, clear in an array
}

func (c *compactor) run() error {
	for {
		opened, err := c.value()
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		done, err := c.afterValue()
		if done || err != nil {
			return err
		}
	}
}

// value reads a scalar, an empty container, or the start of a container up to its first value: then opened is true.
func (c *compactor) value() (opened bool, err error) {
	switch b := c.next(); {
	case b == '{':
		if err := c.push(true); err != nil {
			return false, err
		}
		if c.next() == '}' {
			c.pop()
			return false, nil
		}
		return true, c.name()
	case b == '[':
		if err := c.push(false); err != nil {
			return false, err
		}
		if c.next() == ']' {
			c.pop()
			return false, nil
		}
		return true, nil
	case b == '"':
		return false, c.text()
	case b == '-' || '0' <= b && b <= '9':
		return false, c.number()
	case b == 't':
		return false, c.literal("true")
	case b == 'f':
		return false, c.literal("false")
	case b == 'n':
		return false, c.literal("null")
	}
	return false, c.wrong("a value")
}

// afterValue closes containers up to the next comma, behind which a value is due, or up to the end.
func (c *compactor) afterValue() (done bool, err error) {
	for c.depth > 0 {
		b, object := c.next(), c.inObject()
		switch {
		case b == ',':
			c.at++
			if object {
				c.next()
				return false, c.name()
			}
			return false, nil
		case b == '}' && object, b == ']' && !object:
			c.pop()
		case object:
			return false, c.wrong("a comma or }")
		default:
			return false, c.wrong("a comma or ]")
		}
	}
	if c.next(); c.at < len(c.src) {
		return false, c.wrong("nothing after the value")
	}
	c.dst = append(c.dst, c.src[c.kept:c.at]...)
	return true, nil
}

func (c *compactor) push(object bool) error {
	if c.depth == MaxJSONDepth {
		return Invalidf("JSON is nested deeper than %d at byte %d", MaxJSONDepth, c.at)
	}
	word, bit := &c.objects[c.depth/64], uint64(1)<<(c.depth%64)
	if *word &^= bit; object {
		*word |= bit
	}
	c.depth++
	c.at++
	return nil
}

func (c *compactor) pop() { c.depth--; c.at++ }

func (c *compactor) inObject() bool {
	d := c.depth - 1
	return c.objects[d/64]>>(d%64)&1 != 0
}

// next drops white space and answers the byte behind it, 0 at the end.
func (c *compactor) next() byte {
	if c.at < len(c.src) && c.src[c.at] > ' ' {
		return c.src[c.at]
	}
	start := c.at
	for c.at < len(c.src) && isJSONSpace(c.src[c.at]) {
		c.at++
	}
	if c.at > start {
		c.dst = append(c.dst, c.src[c.kept:start]...)
		c.kept = c.at
	}
	if c.at == len(c.src) {
		return 0
	}
	return c.src[c.at]
}

func isJSONSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }

// name reads a name and its colon.
func (c *compactor) name() error {
	if c.at == len(c.src) || c.src[c.at] != '"' {
		return c.wrong("a name in quotes")
	}
	if err := c.text(); err != nil {
		return err
	}
	if c.next() != ':' {
		return c.wrong("a colon")
	}
	c.at++
	return nil
}

func (c *compactor) literal(word string) error {
	for i := range len(word) {
		if c.at == len(c.src) || c.src[c.at] != word[i] {
			return c.wrong(word)
		}
		c.at++
	}
	return nil
}

func (c *compactor) number() error {
	if c.src[c.at] == '-' {
		c.at++
	}
	if c.at < len(c.src) && c.src[c.at] == '0' {
		c.at++
	} else if err := c.digits(); err != nil {
		return err
	}
	if c.at < len(c.src) && c.src[c.at] == '.' {
		c.at++
		if err := c.digits(); err != nil {
			return err
		}
	}
	if c.at < len(c.src) && c.src[c.at]|0x20 == 'e' {
		c.at++
		if c.at < len(c.src) && (c.src[c.at] == '+' || c.src[c.at] == '-') {
			c.at++
		}
		return c.digits()
	}
	return nil
}

func (c *compactor) digits() error {
	start := c.at
	for c.at < len(c.src) && c.src[c.at]-'0' <= 9 {
		c.at++
	}
	if c.at == start {
		return c.wrong("a digit")
	}
	return nil
}

// wrong is the error for what stands at c.at where want should.
func (c *compactor) wrong(want string) error {
	if c.at >= len(c.src) {
		return Invalidf("JSON ends at byte %d: want %s", len(c.src), want)
	}
	return Invalidf("JSON has %+q at byte %d: want %s", c.src[c.at:c.at+1], c.at, want)
}
