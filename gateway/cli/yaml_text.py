"""Plain data as YAML for people to read."""


def as_yaml(value: object) -> str:
    """Without a final line break."""
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text.rstrip("\n").removesuffix("\n...")
