"""Threads that wait for work in a queue, and get it."""

import queue
import threading
import time

todo: "queue.Queue[int]" = queue.Queue()


def work() -> None:
    while True:
        number = todo.get()
        print("done with", number, flush=True)
        todo.task_done()


for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
for number in range(6):
    todo.put(number)
    time.sleep(1.7)
todo.join()
