"""Publishers: SPEC 8, 9 and C 14."""
