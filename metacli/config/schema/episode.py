"""episode: how many classes, examples and queries a task has."""

from metacli.config.schema.values import Count, Natural, Node, Several


class Shape(Node):
    ways: Several
    shots: Count
    queries: Natural  # 0: a paradigm that learns from whole episodes (Reptile)


class FixedShape(Shape):
    queries: Count
    count: Several  # of one episode there is no interval


class Episode(Node):
    train: Shape
    val: FixedShape
    test: FixedShape
