"""It asks a question, and nobody is there to answer.

Verdict: waiting_for_input.
"""

answer = input("Overwrite the existing report? [y/N] ")
print(answer)
