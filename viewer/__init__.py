"""House 2: a case becomes what people see, plan and practise on."""
