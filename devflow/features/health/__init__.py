"""Health: does this process answer, and what does it depend on?"""
