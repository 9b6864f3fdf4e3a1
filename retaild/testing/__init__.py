"""For authors of plugins: what each kind of plugin must do, as tests that you run on yours.

Public and stable like `retaild.api`: it needs retaild and pytest, no retaild that runs and no
server. A suite is a class. Subclass it in your own tests, give it the fixtures that its docstring
names, and run pytest:

    class TestSource(SourceConformance):
        @pytest.fixture
        def source_factory(self): return lambda: DoorCounter(config, context)

        @pytest.fixture
        def input_rows(self): return 6

`plugin` holds for every kind: that a module registers what it should, that a sample is valid. A
module for each kind has its suite: `source`, `bus`, `stream`, `batch`, `features`, `gate`,
`trainer` (any trainer, and recommenders), `price_trainer`, `alert`, `identity`, `service`,
`target`. `memory_bus` is a bus for tests of what reads one. `retaildctl plugin new` writes a
project that does all this.

A suite may gain tests in a new version of retaild when they say what the contract already said.
"""
