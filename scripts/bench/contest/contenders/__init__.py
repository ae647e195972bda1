"""Who takes part: one file each, with a class `Entry(work, device, threads, dtype)`.

`step()` computes the work once. `outcome()` gives what the last step computed, one vector of doubles: the
meta-gradient in the order of contest.network's parameters, or the logits of all tasks; None where that makes no
sense. `flops`: of a step, known to those whose work is no case's.

The modules are imported by the worker alone, each in a process of its own: metacli sets how OpenMP waits, which it
must not do for the others.
"""

CONTENDERS = {
    "metacli": "contest.contenders.metacli_learner",
    "sampling": "contest.contenders.sampling",
    "plain": "contest.contenders.plain",
    "learn2learn": "contest.contenders.learn2learn_maml",
    "higher": "contest.contenders.higher_maml",
    "parallel-metalearn": "contest.contenders.parallel_metalearn",
    "easyfsl": "contest.contenders.easyfsl_protonet",
    "sgemm": "contest.contenders.sgemm",
}
