"""Pictures rendered for given codes while a training goes on, by processes of `toy-heads-dataset` in the background."""

import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import torch

from pairs import WIDTH, Sampler, factors_of
from pictures import to_network

SHARD = 1000  # pictures rendered by one process


class Renders:
    """A growing store of (code, picture), on the device: codes [n, WIDTH] and uint8 pictures [n, size, size, 3]."""

    def __init__(self, renderer, mapping, device, capacity, size=128, workers=3, threads=5, seed=0, work=None):
        self.renderer, self.size, self.threads, self.device = str(renderer), size, threads, device
        self.pictures = torch.empty((capacity, size, size, 3), dtype=torch.uint8, device=device)
        self.codes = torch.empty((capacity, WIDTH), device=device)
        self.count, self.error, self.stopped = 0, None, threading.Event()
        self.lock = threading.Lock()
        self.work = Path(tempfile.mkdtemp(dir=work))
        for index in range(workers):
            words = (Sampler(mapping, seed + 1 + index), self.work / str(index))
            threading.Thread(target=self._work, args=words, daemon=True).start()

    def _work(self, sampler, folder):
        try:
            folder.mkdir()
            while not self.stopped.is_set() and self.count < len(self.pictures):
                codes = sampler.codes(min(SHARD, len(self.pictures)))
                self._store(codes, self._render(codes, folder))
        except Exception as error:  # told by `batch`, in the thread that trains
            self.error = error

    def _render(self, codes, folder):
        np.save(folder / "codes.npy", factors_of(codes))
        command = ["nice", "-n", "19", self.renderer, "--factors", folder / "codes.npy", "--out", folder, "--size", self.size]
        done = subprocess.run([str(word) for word in (*command, "--threads", self.threads)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return torch.from_numpy(np.load(folder / "images.npy"))

    def _store(self, codes, pictures):
        with self.lock:
            room = min(len(codes), len(self.pictures) - self.count)
            where = slice(self.count, self.count + room)
            if self.device == "cuda":  # beside the training, not in its queue
                with torch.cuda.stream(torch.cuda.Stream()) as _:
                    self.pictures[where].copy_(pictures[:room])
                    self.codes[where].copy_(codes[:room])
                    torch.cuda.current_stream().synchronize()
            else:
                self.pictures[where], self.codes[where] = pictures[:room], codes[:room]
            self.count += room

    def wait_for(self, count):
        while self.count < count and self.error is None and not self.stopped.wait(0.05):
            pass

    def batch(self, count, resolution):
        """Random codes [n, WIDTH] and their pictures for a network."""
        if self.error is not None and self.count == 0:
            raise self.error
        chosen = torch.randint(self.count, (count,), device=self.device)
        return self.codes[chosen], to_network(self.pictures[chosen], resolution)

    def stop(self):
        """No more is begun; what is being rendered ends by itself."""
        self.stopped.set()
